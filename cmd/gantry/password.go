package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// maxPassword bounds what is read, in bytes.
const maxPassword = 4096

// password reads a password: from a file ("-" = standard input), else from
// the terminal without echo, twice, else the first line of standard input.
func (c *cli) password(file string) (string, error) {
	switch in, terminal := c.in.(*os.File); {
	case file != "" && file != "-":
		f, err := os.Open(file)
		if err != nil {
			return "", fmt.Errorf("--password-file: %w", err)
		}
		defer func() { _ = f.Close() }() // only read
		return firstLine(f)
	case file == "" && terminal && isTerminal(in):
		one, err := c.prompt(in, "Password: ")
		if err != nil {
			return "", err
		}
		two, err := c.prompt(in, "Once more: ")
		if err != nil {
			return "", err
		}
		if one != two {
			return "", errors.New("the two are not the same: try again")
		}
		return one, nil
	}
	return firstLine(c.in)
}

func firstLine(r io.Reader) (string, error) {
	text, err := bufio.NewReader(io.LimitReader(r, maxPassword+1)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the password: %w", err)
	}
	if len(text) > maxPassword {
		return "", fmt.Errorf("the password is longer than %d bytes", maxPassword)
	}
	if !utf8.ValidString(text) {
		return "", errors.New("the password is not UTF-8 text")
	}
	if text = strings.TrimRight(text, "\r\n"); text == "" {
		return "", errors.New("no password came: type it, or give it on standard input or with --password-file")
	}
	return text, nil
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// prompt reads a line from the terminal, which does not show it.
func (c *cli) prompt(in *os.File, text string) (string, error) {
	fd := int(in.Fd())
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	// An interrupt in the middle must not leave a terminal that shows nothing.
	interrupt := make(chan os.Signal, 1)
	signal.Notify(interrupt, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(interrupt)
	silent := *before
	silent.Lflag &^= unix.ECHO
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &silent); err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	defer func() { _ = unix.IoctlSetTermios(fd, unix.TCSETS, before) }() // the terminal is gone otherwise
	if _, err := io.WriteString(c.err, text); err != nil {
		return "", err
	}
	defer func() { _, _ = io.WriteString(c.err, "\n") }() // for looks
	type read struct {
		text string
		err  error
	}
	got := make(chan read, 1)
	go func() {
		text, err := firstLine(in)
		got <- read{text, err}
	}()
	select {
	case r := <-got:
		return r.text, r.err
	case <-interrupt:
		return "", errors.New("interrupted")
	}
}
