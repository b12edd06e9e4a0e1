//go:build !small

package app

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
	"github.com/gantry-registry/gantry/internal/editor"
	"github.com/gantry-registry/gantry/internal/operator"
	"github.com/gantry-registry/gantry/internal/operator/bundle"
	"github.com/gantry-registry/gantry/internal/operator/kubetest"
	"github.com/gantry-registry/gantry/internal/servertest"
)

const editedRegistry = `apiVersion: v1
kind: Secret
metadata: {name: bundle, namespace: "@ns", labels: {argocd.argoproj.io/instance: quay}}
stringData:
  config.yaml: |
    # of the team
    SERVER_HOSTNAME: quay.example.com
    TAG_EXPIRATION_OPTIONS: [2w] # the time machine
    DEFAULT_TAG_EXPIRATION: 2w
    MAIL_PASSWORD: sesame-opens
  notes.txt: kept
---
apiVersion: quay.redhat.com/v1
kind: QuayRegistry
metadata: {name: skynet, namespace: "@ns"}
spec:
  configBundleSecret: bundle
  components:
  - {kind: postgres, managed: true, overrides: {volumeSize: 70Gi}}
`

// TestConfigEditor walks through what the manual has of the configuration
// editor, on an API server, with the operator and the rights of the editor's
// own account (S002-93, 99 to 104, 216).
func TestConfigEditor(t *testing.T) {
	c := kubetest.API(t)
	ns := c.Namespace(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	config := c.Config()
	go func() {
		done <- operator.Run(ctx, config, operator.Options{Version: "3.7.0", Namespaces: []string{ns}, Metrics: "0", Probes: "0", Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
			Images: map[v1.ComponentKind]string{v1.ComponentQuay: "example.test/quay:1", v1.ComponentPostgres: "example.test/postgres:1", v1.ComponentRedis: "example.test/redis:1"}})
	}()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	c.Apply(t, []byte(strings.ReplaceAll(editedRegistry, "@ns", ns)))
	registry := func(path ...string) any {
		return c.Field(t, "quay.redhat.com/v1", "QuayRegistry", ns, "skynet", path...)
	}
	ready := func() {
		t.Helper()
		kubetest.Eventually(t, "the registry is ready", func() error {
			list, _ := registry("status", "conditions").([]any)
			for _, x := range list {
				if m := x.(map[string]any); m["type"] == "Ready" && m["status"] == "True" {
					return nil
				}
			}
			return fmt.Errorf("%v", list)
		})
	}
	ready()
	key := func(secret, name string) string {
		t.Helper()
		text, _ := c.Field(t, "v1", "Secret", ns, secret, "data", name).(string)
		data, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	credentials, _ := registry("status", "configEditorCredentialsSecret").(string)
	password := key(credentials, "password")
	if key(credentials, "username") != editor.User || len(password) != 16 {
		t.Fatalf("%s: a password of %d", credentials, len(password))
	}

	store, err := bundle.Open(c.ServiceAccount(t, ns, "skynet-quay-config-editor"), bundle.Options{Namespace: ns, Registry: "skynet", Load: LoadConfig})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(&editor.Server{Store: store, Password: password, Version: "1", Load: LoadConfig, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Probes: probes(slog.Default())})
	defer srv.Close()
	var tag string
	ask := func(method, path, body string, status int, words ...string) map[string]any {
		t.Helper()
		res := send(t, method, srv.URL+path, body, "Authorization", basic(editor.User, password), "If-Match", tag)
		if res.status != status {
			t.Fatalf("%s %s: %d %s, want %d", method, path, res.status, res.body, status)
		}
		for _, w := range words {
			if !strings.Contains(res.body, w) {
				t.Errorf("%s %s: %q is not in %s", method, path, w, res.body)
			}
		}
		for _, s := range []string{"sesame-opens", password} {
			if strings.Contains(res.body, s) {
				t.Errorf("%s %s: a secret is in %s", method, path, res.body)
			}
		}
		if e := res.header.Get("ETag"); e != "" {
			tag = e
		}
		out := map[string]any{}
		_ = json.Unmarshal([]byte(res.body), &out) // a list is looked at by its words
		return out
	}

	// The seed's check by curl, and what is locked.
	got := ask("GET", "/api/v1/config", "", 200, `"certs":{}`)
	conf := got["config.yaml"].(map[string]any)
	if conf["SERVER_HOSTNAME"] != "quay.example.com" || conf["MAIL_PASSWORD"] != "***" || conf["SECRET_KEY"] != "***" || !strings.Contains(fmt.Sprint(conf["DB_URI"]), "skynet-quay-database:***@") {
		t.Errorf("config.yaml: %v", conf)
	}
	ask("GET", "/api/v1/config/state", "", 200, `"mode":"operator"`, `"secret":"bundle"`, `"component":"postgres"`, `"group":"Database"`, `"DB_URI":"operator"`, "Argo CD", `"writable":true`)
	ask("PATCH", "/api/v1/config", `{"config.yaml":{"DB_URI":"postgresql://a:b@c/d"}}`, 422, "postgres")
	ask("POST", "/api/v1/config/download", `{}`, 403, "kubectl get secret bundle")

	ask("POST", "/api/v1/config/test/database", `{}`, 200, "the operator makes the component postgres")

	// 4w is added in the time machine, checked, written and rolled out.
	hash := registry("status", "configHash")
	editors := c.Field(t, "apps/v1", "Deployment", ns, "skynet-quay-config-editor", "metadata", "generation")
	change := `{"config.yaml":{"TAG_EXPIRATION_OPTIONS":["2w","4w"]}}`
	ask("POST", "/api/v1/config/check", change, 200, `"valid":true`, `"pods":["quay-app","quay-mirror"]`)
	before := tag
	ask("PATCH", "/api/v1/config", change, 200)
	if text := key("bundle", "config.yaml"); text != "# of the team\nSERVER_HOSTNAME: quay.example.com\nTAG_EXPIRATION_OPTIONS: [2w, 4w] # the time machine\nDEFAULT_TAG_EXPIRATION: 2w\nMAIL_PASSWORD: sesame-opens\n" {
		t.Errorf("config.yaml:\n%s", text)
	}
	if key("bundle", "notes.txt") != "kept" {
		t.Error("an unknown key is lost")
	}
	kubetest.Eventually(t, "the registry has it", func() error {
		if registry("status", "configHash") == hash {
			return errors.New("the configuration is the old one")
		}
		return nil
	})
	ready()
	kubetest.Eventually(t, "the editor sees it done", func() error {
		if s := ask("GET", "/api/v1/config/rollout", "", 200)["state"]; s != "done" {
			return fmt.Errorf("it is %v", s)
		}
		return nil
	})
	if registry("status", "configEditorCredentialsSecret") != credentials || key(credentials, "password") != password {
		t.Error("the password is another one")
	}
	if now := c.Field(t, "apps/v1", "Deployment", ns, "skynet-quay-config-editor", "metadata", "generation"); now != editors {
		t.Error("the editor's own pod is replaced")
	}

	// Two editors at once: the second is told.
	after := tag
	tag = before
	ask("PATCH", "/api/v1/config", `{"config.yaml":{"TAG_EXPIRATION_OPTIONS":["2w","8w"]}}`, 412)
	tag = after

	// A certificate becomes a key of the bundle.
	pem, err := os.ReadFile(servertest.NewAuthority(t).File)
	if err != nil {
		t.Fatal(err)
	}
	authority := string(pem)
	ask("PATCH", "/api/v1/config", `{"certs":{"extra_ca_certs/ours.crt":"`+base64.StdEncoding.EncodeToString([]byte(authority))+`"}}`, 200)
	if key("bundle", "extra_ca_cert_ours.crt") != authority {
		t.Error("the certificate is not in the bundle")
	}
	ask("GET", "/api/v1/config", "", 200, `"extra_ca_certs/ours.crt"`)

	// So does one that a field speaks of, which is on no disk when it is checked.
	ask("PATCH", "/api/v1/config", `{"config.yaml":{"AUTHENTICATION_TYPE":"LDAP","LDAP_URI":"ldaps://ldap.example.com","LDAP_BASE_DN":["dc=example"],"LDAP_ADMIN_DN":"cn=a","LDAP_ADMIN_PASSWD":"sesame-opens"},
		"certs":{"ldap.crt":"`+base64.StdEncoding.EncodeToString([]byte(authority))+`"}}`, 200)
	ask("PATCH", "/api/v1/config", `{"config.yaml":{"AUTHENTICATION_TYPE":null,"LDAP_URI":null,"LDAP_BASE_DN":null,"LDAP_ADMIN_DN":null,"LDAP_ADMIN_PASSWD":null},"certs":{"ldap.crt":null}}`, 200)

	// What is not valid is not written; a component with overrides stays as it is.
	ask("PATCH", "/api/v1/config", `{"config.yaml":{"DEFAULT_TAG_EXPIRATION":"soon"}}`, 422, "DEFAULT_TAG_EXPIRATION")
	ask("PATCH", "/api/v1/config", `{"manage":{"postgres":false},"config.yaml":{"DB_URI":"postgresql://a:b@c/d"}}`, 422, "overrides")
	// One without goes to the user, together with what he brings.
	ask("PATCH", "/api/v1/config", `{"manage":{"redis":false},"config.yaml":{"USER_EVENTS_REDIS":{"host":"redis.example.com"},"BUILDLOGS_REDIS":{"host":"redis.example.com"}}}`, 200)
	components, _ := registry("spec", "components").([]any)
	if text, err := json.Marshal(components); err != nil || string(text) != `[{"kind":"postgres","managed":true,"overrides":{"volumeSize":"70Gi"}},{"kind":"redis","managed":false}]` {
		t.Errorf("components: %s, %v", text, err)
	}

	ask("GET", "/api/v1/config/state", "", 200, `"own":[{"component":"redis","group":"Redis","fields":["BUILDLOGS_REDIS","USER_EVENTS_REDIS"],"related":["BUILDLOGS_REDIS_HOSTNAME","USER_EVENTS_REDIS_HOSTNAME"]}]`)

	// Back to the start, but for the certificate's own revision.
	var list []struct{ Revision string }
	text := send(t, "GET", srv.URL+"/api/v1/config/history", "", "Authorization", basic(editor.User, password)).body
	if err := json.Unmarshal([]byte(text), &list); err != nil || len(list) != 5 {
		t.Fatalf("history: %v, %s", err, text)
	}
	ask("PATCH", "/api/v1/config", `{"manage":{"redis":true},"config.yaml":{"USER_EVENTS_REDIS":null,"BUILDLOGS_REDIS":null}}`, 200)
	ask("POST", "/api/v1/config/rollback/"+list[4].Revision, "", 200)
	if text := key("bundle", "config.yaml"); strings.Contains(text, "4w") || !strings.Contains(text, "sesame-opens") || key("bundle", "extra_ca_cert_ours.crt") != "" || key("bundle", "notes.txt") != "kept" {
		t.Errorf("rolled back to %s", text)
	}

	// As the operator has it run.
	within, end := context.WithCancel(t.Context())
	at, over := make(chan string, 1), make(chan error, 1)
	args, _ := c.Field(t, "apps/v1", "Deployment", ns, "skynet-quay-config-editor", "spec", "template", "spec", "containers").([]any)
	words, _ := args[0].(map[string]any)["args"].([]any)
	go func() {
		over <- RunEditor(within, EditorOptions{Registry: "skynet", Namespace: ns, Kubeconfig: c.Kubeconfig(), Cluster: fmt.Sprint(words[len(words)-1]), Listen: "127.0.0.1:0", Password: password,
			Log: slog.New(slog.DiscardHandler), Ready: func(a net.Addr) { at <- a.String() }})
	}()
	select {
	case addr := <-at:
		if r := send(t, "GET", "http://"+addr+"/api/v1/config/state", "", "Authorization", basic(editor.User, password)); r.status != 200 || !strings.Contains(r.body, `"registry":"skynet"`) {
			t.Errorf("%d %s", r.status, r.body)
		}
		if r := send(t, "GET", "http://"+addr+"/", ""); r.status != 200 || !strings.Contains(strings.Join(r.header.Values("Set-Cookie"), " "), "QuayReadOnlyFieldGroups=") {
			t.Errorf("the page: %d %v", r.status, r.header)
		}
	case err := <-over:
		t.Fatal(err)
	}
	end()
	if err := <-over; err != nil {
		t.Error(err)
	}

	// A right that is lost is named.
	outsider, err := bundle.Open(c.ServiceAccount(t, ns, "default"), bundle.Options{Namespace: ns, Registry: "skynet", Load: LoadConfig})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := outsider.Read(t.Context()); err == nil || !strings.Contains(err.Error(), `cannot get resource "quayregistries"`) || !strings.Contains(err.Error(), "Role skynet-quay-config-editor") {
		t.Errorf("without rights: %v", err)
	}
}
