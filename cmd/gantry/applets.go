package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// The image has nothing but this program. What administrators and kubectl call in
// a container, `kubectl exec POD -- cat FILE` and `kubectl cp`, are links to it:
// the name that it is called by says what it does.
var applets = map[string]func(args []string, in io.Reader, out io.Writer) error{
	"cat": catApplet, "tar": tarApplet, "test": testApplet,
}

// errNo is the answer no of an applet that is asked something.
var errNo = errors.New("no")

// applet runs the applet of that name; there is one only if ok.
func applet(name string, args []string, in io.Reader, out, stderr io.Writer) (code int, ok bool) {
	name = filepath.Base(name)
	do, ok := applets[name]
	if !ok {
		return 0, false
	}
	switch err := do(args, in, out); {
	case err == nil:
		return 0, true
	case errors.Is(err, errNo):
		return 1, true
	default:
		_, _ = fmt.Fprintf(stderr, "%s: %v\n", name, err) // nowhere else to tell it
		return 2, true
	}
}

// catApplet writes files, or its input for none and for "-".
func catApplet(args []string, in io.Reader, out io.Writer) error {
	if len(args) == 0 {
		args = []string{"-"}
	}
	for _, name := range args {
		if err := catOne(name, in, out); err != nil {
			return err
		}
	}
	return nil
}

func catOne(name string, in io.Reader, out io.Writer) error {
	if name != "-" {
		f, err := os.Open(name) // #nosec G304 G703 -- who calls it may read what it may read
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }() // only read
		in = f
	}
	_, err := io.Copy(out, in)
	return err
}

// testApplet is test -e, -f and -d.
func testApplet(args []string, _ io.Reader, _ io.Writer) error {
	if len(args) != 2 {
		return errors.New("it takes -e, -f or -d and a path")
	}
	info, err := os.Stat(args[1]) // #nosec G703 -- who calls it may look there
	if err != nil {
		return errNo
	}
	switch args[0] {
	case "-e":
	case "-f":
		if !info.Mode().IsRegular() {
			return errNo
		}
	case "-d":
		if !info.IsDir() {
			return errNo
		}
	default:
		return fmt.Errorf("%s is not known here: it takes -e, -f or -d and a path", args[0])
	}
	return nil
}

// tarApplet is what kubectl cp needs of tar: c and x, with f and C. Owners are
// left out, and times are those of now, as for anybody who is not root.
func tarApplet(args []string, in io.Reader, out io.Writer) error {
	var mode rune
	file, dir := "-", "."
	var paths []string
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case strings.HasPrefix(a, "--"): // --no-same-owner, --no-same-permissions: so it is in any case
			if a != "--no-same-owner" && a != "--no-same-permissions" {
				return fmt.Errorf("%s is not known here", a)
			}
		case i == 0 || strings.HasPrefix(a, "-") && a != "-" || mode == 0:
			for _, c := range strings.TrimPrefix(a, "-") {
				switch c {
				case 'c', 'x':
					mode = c
				case 'f', 'C':
					if i++; i == len(args) {
						return fmt.Errorf("%c needs a value", c)
					}
					if c == 'f' {
						file = args[i]
					} else {
						dir = args[i]
					}
				case 'm', 'p', 'o', 'h', 'v':
				default:
					return fmt.Errorf("%c is not known here: it takes c or x, with f and C", c)
				}
			}
		default:
			paths = append(paths, a)
		}
	}
	switch {
	case file != "-":
		return errors.New("f takes - alone here: the archive is the input, or the output")
	case mode == 'c' && len(paths) > 0:
		return pack(out, dir, paths)
	case mode == 'x' && len(paths) == 0:
		return unpack(in, dir)
	}
	return errors.New("it takes c and paths, or x")
}

// pack writes an archive of files and folders, with what is below.
func pack(out io.Writer, dir string, paths []string) error {
	w := tar.NewWriter(out)
	for _, p := range paths {
		from := p
		if !filepath.IsAbs(p) {
			from = filepath.Join(dir, p)
		}
		err := filepath.WalkDir(from, func(at string, d fs.DirEntry, err error) error { // #nosec G703 -- as in cat
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			rest, err := filepath.Rel(from, at)
			if err != nil {
				return err
			}
			return packOne(w, at, strings.TrimLeft(path.Join(p, rest), "/"), info)
		})
		if err != nil {
			return err
		}
	}
	return w.Close()
}

func packOne(w *tar.Writer, at, name string, info fs.FileInfo) error {
	link := ""
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		var err error
		if link, err = os.Readlink(at); err != nil {
			return err
		}
	case !info.IsDir() && !info.Mode().IsRegular():
		return nil // sockets and the like
	}
	h, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return err
	}
	if h.Name = name; name == "" {
		h.Name = "."
	}
	if info.IsDir() {
		h.Name += "/"
	}
	h.Uid, h.Gid, h.Uname, h.Gname = 0, 0, "", ""
	if err := w.WriteHeader(h); err != nil || !info.Mode().IsRegular() {
		return err
	}
	f, err := os.Open(at) // #nosec G304 -- the user's choice
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	_, err = io.CopyN(w, f, h.Size)
	return err
}

// unpack writes the files of an archive below dir, and nowhere else.
func unpack(in io.Reader, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }() // only names
	r := tar.NewReader(in)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			_, err = io.Copy(io.Discard, in) // the writer's padding
			return err
		}
		if err != nil {
			return err
		}
		name := filepath.Clean(strings.TrimLeft(h.Name, "/"))
		if err := unpackOne(root, name, h, r); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
}

func unpackOne(root *os.Root, name string, h *tar.Header, r io.Reader) error {
	if h.Typeflag == tar.TypeDir {
		return root.MkdirAll(name, 0o777)
	}
	if err := root.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeReg:
		// A file that is there is replaced, whoever has it open.
		if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, fs.FileMode(h.Mode)&0o777) // #nosec G115 -- masked
		if err != nil {
			return err
		}
		_, err = io.Copy(f, r) // #nosec G110 -- no compression
		return errors.Join(err, f.Close())
	case tar.TypeSymlink:
		if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return root.Symlink(h.Linkname, name)
	}
	return nil // kubectl writes no others
}
