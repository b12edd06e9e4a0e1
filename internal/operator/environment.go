package operator

import (
	"cmp"
	"fmt"
	"os"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
)

// Images that are used where the environment names none: those of Software
// Collections, whose variables and folders the operator uses.
const (
	defaultPostgres = "quay.io/sclorg/postgresql-15-c9s:latest"
	defaultRedis    = "quay.io/sclorg/redis-7-c9s:latest"
)

// FromEnviron reads what the operator's Deployment says by variables
// (operator.md, sections 1 and 19).
func FromEnviron(environ []string, version string) (Options, error) {
	env := map[string]string{}
	for _, line := range environ {
		if k, v, ok := strings.Cut(line, "="); ok {
			env[k] = v
		}
	}
	image := func(name string) string { return strings.TrimSpace(env["RELATED_IMAGE_COMPONENT_"+name]) }
	o := Options{
		Version: cmp.Or(env["QUAY_VERSION"], version), ElectionNamespace: env["MY_POD_NAMESPACE"],
		Images: map[v1.ComponentKind]string{
			v1.ComponentQuay: image("QUAY"), v1.ComponentClair: image("CLAIR"), v1.ComponentRedis: cmp.Or(image("REDIS"), defaultRedis),
			v1.ComponentPostgres: cmp.Or(image("POSTGRES"), defaultPostgres), v1.ComponentClairPostgres: cmp.Or(image("CLAIRPOSTGRES"), image("POSTGRES"), defaultPostgres),
		},
		NoRequests: strings.EqualFold(env["SKIP_RESOURCE_REQUESTS"], "true"),
	}
	o.Namespaces = Namespaces(env["WATCH_NAMESPACE"])
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"} {
		if v := cmp.Or(env[name], env[strings.ToLower(name)]); v != "" {
			if o.Proxy == nil {
				o.Proxy = map[string]string{}
			}
			o.Proxy[name] = v
		}
	}
	for kind, ref := range o.Images {
		if strings.ContainsAny(ref, " \t\n") {
			return o, fmt.Errorf("the image of %s, %q, is no reference: RELATED_IMAGE_COMPONENT_%s has spaces", kind, ref, strings.ToUpper(string(kind)))
		}
	}
	return o, nil
}

// Namespaces splits a comma list.
func Namespaces(list string) (names []string) {
	for n := range strings.SplitSeq(list, ",") {
		if n = strings.TrimSpace(n); n != "" {
			names = append(names, n)
		}
	}
	return names
}

// Cluster finds the cluster: the file, or KUBECONFIG, or the one that this
// process runs in. namespace is that of the file's context.
func Cluster(kubeconfig string) (config *rest.Config, namespace string, err error) {
	if kubeconfig == "" && os.Getenv("KUBECONFIG") == "" {
		if config, err = rest.InClusterConfig(); err == nil {
			return config, "", nil
		}
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil)
	if config, err = loader.ClientConfig(); err != nil {
		return nil, "", fmt.Errorf("find the cluster: %w (name a file by --kubeconfig or KUBECONFIG, or run in a pod)", err)
	}
	namespace, _, err = loader.Namespace()
	return config, namespace, err
}
