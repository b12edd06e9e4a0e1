package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// What the words of Quay's image need: the folder for data of the image, and
// addresses that are reached from outside the container.
const (
	imageData    = "/data"
	imagePlain   = "0.0.0.0:8080"
	imageTLS     = "0.0.0.0:8443"
	imageMetrics = "0.0.0.0:9091"
)

// translate makes a command line of Quay's container a command line of this
// program, so that Deployments and scripts that were written for it go on: the
// words registry, registry-nomigrate, repomirror, repomirror-nomigrate, migrate
// head and config PASSWORD (operator.md, section 10). Others are returned as
// they are.
func translate(args, environ []string) ([]string, error) {
	if len(args) == 0 {
		return args, nil
	}
	rest := args[1:]
	migrates := !strings.HasSuffix(args[0], "-nomigrate") && !isTrue(variable(environ, "ENSURE_NO_MIGRATION"))
	serve := func(words ...string) []string {
		words = append(words, "--data", imageData, "--metrics", imageMetrics)
		if !migrates {
			words = append(words, "--no-migrate")
		}
		return append(words, rest...)
	}
	switch args[0] {
	case "registry", "registry-nomigrate":
		listen := imagePlain
		if stack := filepath.Join(variable(environ, "QUAYCONF"), "stack"); isFile(stack, "ssl.cert") && isFile(stack, "ssl.key") {
			listen = imageTLS
		}
		return serve("serve", "--listen", listen), nil
	case "repomirror", "repomirror-nomigrate":
		return serve("worker", "--only", "mirror"), nil
	case "migrate":
		if len(rest) > 1 || len(rest) == 1 && rest[0] != "head" {
			return nil, fmt.Errorf("migrate %s: the schema is brought to its head, and not elsewhere: write migrate head", strings.Join(rest, " "))
		}
		return []string{"db", "migrate", "--data", imageData, "--database-wait", "1m"}, nil
	case "config":
		if len(rest) != 1 || strings.HasPrefix(rest[0], "-") || slices.Contains(configCommands, rest[0]) {
			return args, nil
		}
		return []string{"config", "editor", "--config", filepath.Join(variable(environ, "QUAYCONF"), "stack"), "--listen", imagePlain, "--password=" + rest[0]}, nil
	}
	return args, nil
}

// configCommands are the commands below config. Another word is the password of
// Quay's editor.
var configCommands = []string{"validate", "print", "explain", "schema", "diff", "editor", "help"}

// variable returns a variable of the environment; "" = none.
func variable(environ []string, name string) string {
	for i := len(environ) - 1; i >= 0; i-- {
		if v, ok := strings.CutPrefix(environ[i], name+"="); ok {
			return v
		}
	}
	return ""
}

func isTrue(s string) bool { return strings.EqualFold(s, "true") || s == "1" }

func isFile(dir, name string) bool {
	info, err := os.Stat(filepath.Join(dir, name))
	return err == nil && !info.IsDir()
}
