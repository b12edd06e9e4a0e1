package s3

import (
	"crypto/x509"
	"testing"
	"time"

	"github.com/gantry-registry/gantry/internal/blob"
	"github.com/gantry-registry/gantry/internal/blob/blobtest"
	"github.com/gantry-registry/gantry/internal/servertest"
)

func TestMain(m *testing.M) {
	backoff = 20 * time.Millisecond
	servertest.Main(m)
}

// testFields are S3Storage's.
var testFields = Fields{Bucket: "s3_bucket", AccessKey: "s3_access_key", SecretKey: "s3_secret_key", Region: "s3_region", Endpoint: "host"}

// optionsFor are those of an engine on an empty bucket.
func optionsFor(t testing.TB, s *servertest.S3Server) Options {
	t.Helper()
	o := Options{Location: "test", Bucket: s.Bucket(t), Prefix: "/registry/data", Region: servertest.Region, Endpoint: s.URL(), PathStyle: true,
		Credentials: Credentials{AccessKey: s.AccessKey, SecretKey: s.SecretKey}, Fields: testFields}
	if s.CA != nil {
		o.RootCAs = x509.NewCertPool()
		o.RootCAs.AppendCertsFromPEM(s.CA)
	}
	return o
}

// engineOf returns an engine, closed when the test ends.
func engineOf(t testing.TB, o Options) *Engine {
	t.Helper()
	e, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func suite(open func(t *testing.T) *Engine) blobtest.Suite {
	return blobtest.Suite{
		New:    func(t *testing.T) blob.Engine { return open(t) },
		Reopen: func(t *testing.T, e blob.Engine) blob.Engine { return engineOf(t, e.(*Engine).o) },
	}
}

func TestSuite(t *testing.T) {
	suite(func(t *testing.T) *Engine { return engineOf(t, optionsFor(t, servertest.S3(t))) }).Run(t)
}
