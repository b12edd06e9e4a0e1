package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// cmdSupervise is the background process behind up.
func cmdSupervise(args []string) error {
	fs := flag.NewFlagSet("supervise", flag.ExitOnError)
	dir := fs.String("dir", "", "cluster directory")
	limit := fs.Duration("timeout", 3*time.Minute, "how long to wait for readiness")
	_ = fs.Parse(args) // ExitOnError: it returns no error
	c, err := loadCluster(*dir)
	if err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	return c.supervise(ctx, *limit, 15*time.Second, func() {})
}

// supervise is the long-lived parent of every component, until ctx ends. It
// also plays the parts a test cluster needs and Kubernetes leaves to add-ons: a
// volume provisioner, a DNS server and, when asked for, nodes that only pretend
// to run pods. Components have the grace to end by themselves; 0 is for a
// cluster of which nothing stays.
func (c *cluster) supervise(ctx context.Context, limit, grace time.Duration, ready func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var running []*process
	defer func() {
		log.Print("stopping")
		cancel()
		for i := len(running) - 1; i >= 0; i-- {
			if running[i].name == "containerd" {
				c.removePods() // while containerd can still do it
			}
			running[i].stop(grace)
		}
		log.Print("stopped")
	}()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	useNodePrograms(self)
	run := func(name string, argv ...string) {
		p := &process{name: name, args: argv, log: c.path("logs", name+".log")}
		running = append(running, p)
		p.start()
		log.Printf("started %s", name)
	}
	embedded := func(name string, argv ...string) {
		run(name, append([]string{self, name}, argv...)...)
	}

	if c.Node {
		if err := c.prepareNode(); err != nil {
			return err
		}
		run("containerd", "containerd", "--config", c.path("run", "containerd.toml"))
	}
	embedded("etcd", c.etcdArgs()...)
	embedded("kube-apiserver", c.apiserverArgs()...)

	cfg, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig())
	if err != nil {
		return err
	}
	cfg.QPS, cfg.Burst = 400, 800
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return err
	}
	err = waitFor(ctx, "kube-apiserver", limit, func(ctx context.Context) error {
		return client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	})
	if err != nil {
		return err
	}
	log.Print("kube-apiserver is ready")
	embedded("kube-controller-manager", c.controllerManagerArgs()...)
	embedded("kube-scheduler", c.schedulerArgs()...)
	if err := c.addons(ctx, client); err != nil {
		return err
	}
	go c.provision(ctx, client)
	if c.FakeNodes > 0 {
		go c.pretend(ctx, client)
	}
	if c.Node {
		if err := c.loadPause(ctx); err != nil {
			return err
		}
		embedded("kubelet", c.kubeletArgs()...)
		embedded("kube-proxy", c.proxyArgs()...)
		if err := c.serveDNS(ctx, client); err != nil {
			return err
		}
	}
	err = waitFor(ctx, "cluster", limit, func(ctx context.Context) error { return c.ready(ctx, client) })
	if err != nil {
		return err
	}
	log.Print("cluster is ready")
	if err := os.WriteFile(c.path("run", "ready"), nil, 0o644); err != nil {
		return err
	}
	ready()
	<-ctx.Done()
	return nil
}

// ready asks for what the first test would trip over otherwise: the default
// service account and, with nodes, a node that takes pods.
func (c *cluster) ready(ctx context.Context, client kubernetes.Interface) error {
	if _, err := client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{}); err != nil {
		return err
	}
	want := c.FakeNodes
	if c.Node {
		want++
	}
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	got := 0
	for _, n := range nodes.Items {
		for _, cond := range n.Status.Conditions {
			if cond.Type == corev1.NodeReady && cond.Status == corev1.ConditionTrue && len(n.Spec.Taints) == 0 {
				got++
			}
		}
	}
	if got < want {
		return fmt.Errorf("%d of %d nodes ready", got, want)
	}
	return nil
}

func (c *cluster) port(name string) string { return strconv.Itoa(c.Ports[name]) }

func (c *cluster) etcdArgs() []string {
	clientURL := "https://127.0.0.1:" + c.port("etcd")
	peerURL := "http://127.0.0.1:" + c.port("etcd-peer")
	return []string{
		"--name=k8sharness", "--data-dir=" + c.path("etcd"),
		"--listen-client-urls=" + clientURL, "--advertise-client-urls=" + clientURL,
		"--listen-peer-urls=" + peerURL, "--initial-advertise-peer-urls=" + peerURL,
		"--initial-cluster=k8sharness=" + peerURL,
		"--cert-file=" + c.pki("etcd.crt"), "--key-file=" + c.pki("etcd.key"),
		"--trusted-ca-file=" + c.pki("etcd-ca.crt"), "--client-cert-auth",
		"--unsafe-no-fsync", "--log-level=warn",
	}
}

func (c *cluster) apiserverArgs() []string {
	args := []string{
		"--bind-address=" + c.HostIP, "--secure-port=" + c.port("apiserver"),
		"--tls-cert-file=" + c.pki("apiserver.crt"), "--tls-private-key-file=" + c.pki("apiserver.key"),
		"--client-ca-file=" + c.pki("ca.crt"),
		"--etcd-servers=https://127.0.0.1:" + c.port("etcd"), "--etcd-cafile=" + c.pki("etcd-ca.crt"),
		"--etcd-certfile=" + c.pki("etcd-client.crt"), "--etcd-keyfile=" + c.pki("etcd-client.key"),
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
		"--service-account-issuer=https://kubernetes.default.svc." + clusterDomain,
		"--service-account-key-file=" + c.pki("sa.pub"), "--service-account-signing-key-file=" + c.pki("sa.key"),
		"--service-cluster-ip-range=" + serviceCIDR, "--allow-privileged=true",
		"--requestheader-client-ca-file=" + c.pki("front-proxy-ca.crt"),
		"--requestheader-allowed-names=front-proxy-client", "--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group", "--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + c.pki("front-proxy.crt"), "--proxy-client-key-file=" + c.pki("front-proxy.key"),
		"--kubelet-certificate-authority=" + c.pki("ca.crt"),
		"--kubelet-client-certificate=" + c.pki("apiserver-kubelet.crt"),
		"--kubelet-client-key=" + c.pki("apiserver-kubelet.key"),
		"--kubelet-preferred-address-types=InternalIP", "--profiling=false",
		"--v=" + strconv.Itoa(c.Verbosity),
	}
	if c.Node {
		args = append(args, "--advertise-address="+c.HostIP)
	} else {
		// An endpoint may not be a loopback address, and nobody would use it.
		args = append(args, "--endpoint-reconciler-type=none")
	}
	if c.Audit {
		policy := c.path("run", "audit-policy.yaml")
		text := "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n- level: Metadata\n"
		if err := os.WriteFile(policy, []byte(text), 0o644); err == nil {
			args = append(args, "--audit-policy-file="+policy, "--audit-log-path="+c.path("logs", "audit.log"))
		}
	}
	return append(args, c.APIArgs...)
}

func (c *cluster) controllerManagerArgs() []string {
	k := c.path("run", "controller-manager.kubeconfig")
	return []string{
		"--kubeconfig=" + k, "--authentication-kubeconfig=" + k, "--authorization-kubeconfig=" + k,
		"--bind-address=127.0.0.1", "--secure-port=" + c.port("controller-manager"),
		"--leader-elect=false", "--use-service-account-credentials=true",
		"--service-account-private-key-file=" + c.pki("sa.key"), "--root-ca-file=" + c.pki("ca.crt"),
		"--cluster-signing-cert-file=" + c.pki("ca.crt"), "--cluster-signing-key-file=" + c.pki("ca.key"),
		"--kube-api-qps=300", "--kube-api-burst=600", // the defaults (20 and 30) set the pace of a whole test
		"--flex-volume-plugin-dir=" + c.path("run", "flex"), "--profiling=false",
		"--v=" + strconv.Itoa(c.Verbosity),
	}
}

func (c *cluster) schedulerArgs() []string {
	k := c.path("run", "scheduler.kubeconfig")
	return []string{
		"--kubeconfig=" + k, "--authentication-kubeconfig=" + k, "--authorization-kubeconfig=" + k,
		"--bind-address=127.0.0.1", "--secure-port=" + c.port("scheduler"),
		"--leader-elect=false", "--profiling=false", "--kube-api-qps=300", "--kube-api-burst=600",
		"--v=" + strconv.Itoa(c.Verbosity),
	}
}

// addons creates the default StorageClass.
func (c *cluster) addons(ctx context.Context, client kubernetes.Interface) error {
	reclaim := corev1.PersistentVolumeReclaimDelete
	binding := storagev1.VolumeBindingImmediate
	expand := true
	_, err := client.StorageV1().StorageClasses().Create(ctx, &storagev1.StorageClass{
		ObjectMeta: metav1.ObjectMeta{
			Name:        "standard",
			Annotations: map[string]string{"storageclass.kubernetes.io/is-default-class": "true"},
		},
		Provisioner: provisionerName, ReclaimPolicy: &reclaim, VolumeBindingMode: &binding, AllowVolumeExpansion: &expand,
	}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	return nil
}
