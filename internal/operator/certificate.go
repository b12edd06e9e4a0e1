package operator

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
	"github.com/gantry-registry/gantry/internal/operator/plan"
	"github.com/gantry-registry/gantry/internal/operator/render"
)

// How long certificates that the operator makes are good, and how long before
// their end new ones are made.
const (
	authorityLife   = 10 * 365 * 24 * time.Hour
	certificateLife = 365 * 24 * time.Hour
	renewBefore     = 30 * 24 * time.Hour
)

// certificate finds what the registry serves TLS with: the Secret of the
// component tls, the bundle's, or one that is made here. again is when to look
// anew.
func (r *reconciler) certificate(ctx context.Context, q *v1.QuayRegistry, all inventory, ask *render.Request) (again time.Duration, err error) {
	switch name := ask.All[v1.ComponentTLS].SecretRef; {
	case name != "":
		s, err := r.secret(ctx, q.Namespace, name)
		if err != nil {
			return 0, err
		}
		if s == nil || len(s.Data[corev1.TLSCertKey]) == 0 || len(s.Data[corev1.TLSPrivateKeyKey]) == 0 {
			return 0, &plan.Blocked{Reason: v1.ReasonConfigInvalid, Component: v1.ComponentTLS,
				Message: fmt.Sprintf("the component tls names the Secret %s, which has no tls.crt and tls.key: create it (kubectl create secret tls), or have cert-manager write it", name)}
		}
		ask.Cert, ask.Key = s.Data[corev1.TLSCertKey], s.Data[corev1.TLSPrivateKeyKey]
	case ask.Bundle.HasCert():
		ask.Cert, ask.Key = ask.Bundle.Cert, ask.Bundle.Key
	case ask.Access.Own:
		return r.ownCertificate(ctx, q, all, ask)
	default:
		return 0, nil
	}
	if err := plan.CheckCert(ask.Cert, ask.Key, ask.Access.Host(), ask.Bundle.BuilderHost()); err != nil {
		return 0, err
	}
	if end := expires(ask.Cert); !end.IsZero() {
		again = 12 * time.Hour // its end draws near
	}
	return again, nil
}

// expires is when the first certificate of a chain ends; zero = it is none.
func expires(chain []byte) time.Time {
	block, _ := pem.Decode(chain)
	if block == nil {
		return time.Time{}
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return time.Time{}
	}
	return c.NotAfter
}

// OwnCertificate is the name of the Secret with the certificate that the
// operator made; its ca.crt is what clients have to trust.
func OwnCertificate(registry string) string { return registry + "-quay-service-tls" }

// ownCertificate keeps a certificate that the operator makes, where nobody else
// ends TLS.
func (r *reconciler) ownCertificate(ctx context.Context, q *v1.QuayRegistry, all inventory, ask *render.Request) (time.Duration, error) {
	name := OwnCertificate(q.Name)
	hosts := []string{ask.Access.Host(), q.Name + "-quay-app." + q.Namespace + ".svc", q.Name + "-quay-app." + q.Namespace, q.Name + "-quay-app", "localhost"}
	now := r.now()
	there, _ := found[*corev1.Secret](all, q, "Secret", name)
	if there != nil {
		cert := there.Data[corev1.TLSCertKey]
		if end := expires(cert); end.Sub(now) > renewBefore && plan.CheckCert(cert, there.Data[corev1.TLSPrivateKeyKey], hosts...) == nil {
			ask.Cert, ask.Key = cert, there.Data[corev1.TLSPrivateKeyKey]
			return end.Sub(now) - renewBefore, nil
		}
	}
	var old map[string][]byte
	if there != nil {
		old = there.Data
	}
	data, err := issue(old, hosts, now)
	if err != nil {
		return 0, fmt.Errorf("make a certificate: %w", err)
	}
	s := &corev1.Secret{TypeMeta: metav1.TypeMeta{Kind: "Secret", APIVersion: "v1"}, Type: corev1.SecretTypeTLS, Data: data}
	s.Name, s.Namespace, s.Labels = name, q.Namespace, map[string]string{render.LabelRegistry: q.Name, render.LabelComponent: "tls", "app": "quay"}
	yes := true
	s.OwnerReferences = []metav1.OwnerReference{{APIVersion: v1.GroupVersion.String(), Kind: "QuayRegistry", Name: q.Name, UID: q.UID, Controller: &yes, BlockOwnerDeletion: &yes}}
	if err := r.apply(ctx, all, q, s); err != nil {
		return 0, err
	}
	ask.Cert, ask.Key = data[corev1.TLSCertKey], data[corev1.TLSPrivateKeyKey]
	return certificateLife - renewBefore, nil
}

// issue makes a certificate for the hosts, by the authority that is there or a
// new one, so that who trusts it goes on trusting.
func issue(old map[string][]byte, hosts []string, now time.Time) (map[string][]byte, error) {
	ca, caKey := parseAuthority(old, now)
	if ca == nil {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		template := &x509.Certificate{SerialNumber: serial(), Subject: pkix.Name{CommonName: "Gantry operator: " + hosts[0]}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(authorityLife),
			IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign}
		der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
		if err != nil {
			return nil, err
		}
		if ca, err = x509.ParseCertificate(der); err != nil {
			return nil, err
		}
		caKey = key
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: serial(), Subject: pkix.Name{CommonName: short(hosts[0])}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(certificateLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, &key.PublicKey, caKey)
	if err != nil {
		return nil, err
	}
	data := map[string][]byte{"ca.crt": encode("CERTIFICATE", ca.Raw), corev1.TLSCertKey: append(encode("CERTIFICATE", der), encode("CERTIFICATE", ca.Raw)...)}
	for name, k := range map[string]*ecdsa.PrivateKey{"ca.key": caKey, corev1.TLSPrivateKeyKey: key} {
		der, err := x509.MarshalPKCS8PrivateKey(k)
		if err != nil {
			return nil, err
		}
		data[name] = encode("PRIVATE KEY", der)
	}
	return data, nil
}

// short is a name that fits into a certificate's common name.
func short(host string) string {
	if len(host) > 64 {
		return ""
	}
	return host
}

// parseAuthority reads the authority of a Secret; nil = there is none that is
// good for as long as a certificate.
func parseAuthority(data map[string][]byte, now time.Time) (*x509.Certificate, *ecdsa.PrivateKey) {
	c, _ := pem.Decode(data["ca.crt"])
	k, _ := pem.Decode(data["ca.key"])
	if c == nil || k == nil {
		return nil, nil
	}
	ca, err := x509.ParseCertificate(c.Bytes)
	if err != nil || ca.NotAfter.Sub(now) < certificateLife {
		return nil, nil
	}
	any, err := x509.ParsePKCS8PrivateKey(k.Bytes)
	key, ok := any.(*ecdsa.PrivateKey)
	if err != nil || !ok || !key.PublicKey.Equal(ca.PublicKey) {
		return nil, nil
	}
	return ca, key
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func serial() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		panic(err) // crypto/rand does not fail
	}
	return n
}
