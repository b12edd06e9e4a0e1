package servertest

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The account of Azurite: the emulator's own, known to everybody.
const (
	AzuriteAccount = "devstoreaccount1"
	AzuriteKey     = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

// An AzuriteServer is Microsoft's emulator of Azure Blob Storage.
type AzuriteServer struct {
	// Addr is where it listens, as host:port.
	Addr string
	// Process is the server.
	Process *Process
}

// Endpoint is the URL of the account's blobs, by way of addr; "" = directly.
func (s *AzuriteServer) Endpoint(addr string) string {
	if addr == "" {
		addr = s.Addr
	}
	return "http://" + addr + "/" + AzuriteAccount
}

var azurite = sync.OnceValues(startAzurite)

// Azurite returns the server of this test process. Tests make containers of
// their own in it.
func Azurite(t testing.TB) *AzuriteServer {
	t.Helper()
	s, err := azurite()
	if err != nil {
		t.Fatalf("azurite: %v", err)
	}
	return s
}

func startAzurite() (*AzuriteServer, error) {
	program, err := Tool("azurite/node_modules/.bin/azurite-blob")
	if err != nil {
		return nil, err
	}
	dir, err := Dir()
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "azurite")
	if err := os.Mkdir(data, 0o700); err != nil {
		return nil, err
	}
	port, err := Port()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(context.Background(), program, "--blobHost", "127.0.0.1", "--blobPort", strconv.Itoa(port),
		"--location", data, "--silent", "--skipApiVersionCheck", "--disableTelemetry")
	p, err := Launch(cmd, filepath.Join(dir, "azurite.log"), nil, syscall.SIGKILL)
	if err != nil {
		return nil, err
	}
	s := &AzuriteServer{Addr: fmt.Sprintf("127.0.0.1:%d", port), Process: p}
	return s, p.Ready(func(ctx context.Context) error {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", s.Addr)
		if err != nil {
			return err
		}
		return errors.Join(c.Close())
	})
}

// Container makes a container.
func (s *AzuriteServer) Container(t testing.TB, name string) {
	t.Helper()
	date := time.Now().UTC().Format(http.TimeFormat)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, s.Endpoint("")+"/"+name+"?restype=container", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Ms-Date", date)
	r.Header.Set("X-Ms-Version", azuriteVersion)
	// Twelve headers that are not there; then those of Microsoft, then what is asked for.
	r.Header.Set("Authorization", "SharedKey "+AzuriteAccount+":"+s.sign(t, "PUT"+strings.Repeat("\n", 12)+
		"x-ms-date:"+date+"\nx-ms-version:"+azuriteVersion+"\n/"+AzuriteAccount+"/"+AzuriteAccount+"/"+name+"\nrestype:container"))
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }() // only the status counts
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("make container %s: %s", name, resp.Status)
	}
}

// Token returns a shared access signature that gives all rights on a
// container, for an hour.
func (s *AzuriteServer) Token(t testing.TB, container string) string {
	t.Helper()
	const rights = "racwdl"
	end := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	sign := s.sign(t, strings.Join([]string{rights, "", end, "/blob/" + AzuriteAccount + "/" + container, "", "", "", azuriteVersion, "c", "", "", "", "", "", "", ""}, "\n"))
	return url.Values{"sv": {azuriteVersion}, "sr": {"c"}, "sp": {rights}, "se": {end}, "sig": {sign}}.Encode()
}

const azuriteVersion = "2021-08-06"

func (s *AzuriteServer) sign(t testing.TB, text string) string {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(AzuriteKey)
	if err != nil {
		t.Fatal(err)
	}
	h := hmac.New(sha256.New, key)
	_, _ = io.WriteString(h, text) // never fails
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}
