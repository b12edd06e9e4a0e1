package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestAutomation runs the script of docs/automation.md, as it stands there, on
// a process with the configuration of that page.
func TestAutomation(t *testing.T) {
	page, err := os.ReadFile("../../docs/automation.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := "SERVER_HOSTNAME: localhost\n" + strings.Join(blocks(string(page), "yaml"), "")
	if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	_, ready := process(t, "serve", "--config", dir, "--data", filepath.Join(t.TempDir(), "data"), "--listen", "127.0.0.1:0", "--metrics", "off")
	script := blocks(string(page), "bash")
	if len(script) < 8 {
		t.Fatalf("only %d blocks", len(script))
	}
	file := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(file, []byte(strings.Join(script, "\n")+"\necho all of it ran\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "bash", file)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "REGISTRY="+ready["address"].(string))
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasSuffix(string(out), "all of it ran\n") {
		t.Errorf("%v\n%s", err, out)
	}
}

// blocks are the code blocks of a page in a language.
func blocks(page, language string) (all []string) {
	for {
		_, rest, ok := strings.Cut(page, "\n```"+language+"\n")
		if !ok {
			return all
		}
		block, rest, _ := strings.Cut(rest, "\n```")
		all, page = append(all, block+"\n"), rest
	}
}
