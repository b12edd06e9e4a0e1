package deploy

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestUnit lets systemd read the unit, if it is on this machine.
func TestUnit(t *testing.T) {
	unit := read(t, "systemd/gantry.service")
	ini(t, "systemd/gantry.service")
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not here; only the form of the unit was checked")
	}
	// The binary is not installed here, and what documents it may not be reachable.
	unit = strings.Replace(unit, "/usr/local/bin/gantry ", "/bin/sh ", 1)
	file := filepath.Join(t.TempDir(), "gantry.service")
	if err := os.WriteFile(file, []byte(unit), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), analyze, "verify", "--recursive-errors=no", file).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "gantry.service") {
			t.Errorf("systemd-analyze verify: %s", strings.TrimSpace(line))
		}
	}
	if err != nil {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// TestQuadlet checks sections and keys against those that Quadlet knows: it
// refuses a file with any other.
func TestQuadlet(t *testing.T) {
	known := []string{
		"Image", "ContainerName", "PublishPort", "Volume", "Exec", "NoNewPrivileges", "DropCapability",
		"ReadOnly", "PodmanArgs", "Environment", "EnvironmentFile", "User", "Network", "Secret", "HealthCmd",
	}
	got := ini(t, "quadlet/gantry.container")
	for _, section := range []string{"Unit", "Container", "Service", "Install"} {
		if got[section] == nil {
			t.Errorf("no section [%s]", section)
		}
	}
	for key := range got["Container"] {
		if !slices.Contains(known, key) {
			t.Errorf("Quadlet does not know %s", key)
		}
	}
	if exec := got["Container"]["Exec"]; !strings.HasPrefix(exec, "serve ") {
		t.Errorf("Exec=%s", exec)
	}
}

func TestCompose(t *testing.T) {
	type service struct {
		Image      string   `yaml:"image"`
		Command    []string `yaml:"command"`
		Ports      []string `yaml:"ports"`
		Volumes    []string `yaml:"volumes"`
		ReadOnly   bool     `yaml:"read_only"`
		CapDrop    []string `yaml:"cap_drop"`
		Security   []string `yaml:"security_opt"`
		Restart    string   `yaml:"restart"`
		StopPeriod string   `yaml:"stop_grace_period"`
	}
	var file struct {
		Name     string             `yaml:"name"`
		Services map[string]service `yaml:"services"`
		Volumes  map[string]any     `yaml:"volumes"`
	}
	d := yaml.NewDecoder(strings.NewReader(read(t, "compose.yaml")))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil {
		t.Fatal(err)
	}
	s := file.Services["gantry"]
	if s.Image == "" || len(s.Command) == 0 || s.Command[0] != "serve" || len(s.Ports) == 0 {
		t.Errorf("service: %+v", s)
	}
	for _, v := range s.Volumes {
		if name, _, _ := strings.Cut(v, ":"); !strings.HasPrefix(name, ".") {
			if _, ok := file.Volumes[name]; !ok {
				t.Errorf("volume %s is not declared", name)
			}
		}
	}
}

// TestContainerfile checks that the image is the binary alone and starts it.
func TestContainerfile(t *testing.T) {
	text := read(t, "Containerfile")
	for _, want := range []string{"\nFROM scratch\n", "\nENTRYPOINT [\"/bin/gantry\"]\n", "\nVOLUME /data\n", "\nUSER 1001:0\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q", strings.TrimSpace(want))
		}
	}
}

// ini reads sections of keys; of a key that comes again, the last value.
func ini(t *testing.T, name string) map[string]map[string]string {
	t.Helper()
	out := make(map[string]map[string]string)
	section := ""
	for s := bufio.NewScanner(strings.NewReader(read(t, name))); s.Scan(); {
		line := strings.TrimSpace(s.Text())
		key, value, ok := strings.Cut(line, "=")
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[' && strings.HasSuffix(line, "]"):
			section = line[1 : len(line)-1]
			out[section] = make(map[string]string)
		case !ok || section == "":
			t.Errorf("%s: %q is no key=value in a section", name, line)
		default:
			out[section][key] = value
		}
	}
	return out
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
