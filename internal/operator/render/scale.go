package render

import (
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	netv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
)

// A scaled is a component of which several pods run.
type scaled struct {
	kind       v1.ComponentKind
	name, part string
	most       int32
}

func (b *builder) scaled() (list []scaled) {
	for _, s := range []scaled{
		{v1.ComponentQuay, b.name + workloadNames[v1.ComponentQuay], partApp, 20},
		{v1.ComponentClair, b.name + workloadNames[v1.ComponentClair], partClair, 10},
		{v1.ComponentMirror, b.name + workloadNames[v1.ComponentMirror], partMirror, 20},
	} {
		if b.All.Managed(s.kind) {
			list = append(list, s)
		}
	}
	return list
}

// scale makes autoscalers and disruption budgets.
func (b *builder) scale() {
	for _, s := range b.scaled() {
		o := b.overrides(s.kind)
		if b.All.Managed(v1.ComponentHPA) && b.scales(s.kind) {
			b.base(b.autoscaler(s, o))
		}
		budget := policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: b.selector(s.part)}, MaxUnavailable: number(1)}
		if o.PDB != nil {
			budget.MinAvailable, budget.MaxUnavailable = o.PDB.MinAvailable, o.PDB.MaxUnavailable
		}
		b.base(&policyv1.PodDisruptionBudget{TypeMeta: types("PodDisruptionBudget", "policy/v1"), ObjectMeta: b.meta(s.name, s.part, s.kind), Spec: budget})
	}
}

func (b *builder) autoscaler(s scaled, o v1.Override) *autoscalingv2.HorizontalPodAutoscaler {
	least, most, cpu, memory := int32(2), s.most, int32(90), int32(90)
	if h := o.HPA; h != nil {
		take := func(to *int32, from *int32) {
			if from != nil {
				*to = *from
			}
		}
		take(&least, h.Min)
		take(&most, h.Max)
		take(&cpu, h.CPU)
		take(&memory, h.Memory)
		most = max(most, least)
	}
	use := func(name corev1.ResourceName, percent int32) autoscalingv2.MetricSpec {
		return autoscalingv2.MetricSpec{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{Name: name,
			Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: &percent}}}
	}
	return &autoscalingv2.HorizontalPodAutoscaler{TypeMeta: types("HorizontalPodAutoscaler", "autoscaling/v2"), ObjectMeta: b.meta(s.name, s.part, v1.ComponentHPA),
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{MinReplicas: &least, MaxReplicas: most,
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: s.name},
			Metrics:        []autoscalingv2.MetricSpec{use(corev1.ResourceCPU, cpu), use(corev1.ResourceMemory, memory)}}}
}

// policies makes a NetworkPolicy for each part, where they are asked for: the
// databases, the cache and the scanner are for the registry alone; the registry
// is for all.
func (b *builder) policies() {
	if !b.Registry.Spec.NetworkPolicies {
		return
	}
	b.allow(partApp, v1.ComponentQuay, nil, portHTTP, portHTTPS, portJWT, portMetrics, portBuilds)
	if b.All.Managed(v1.ComponentMirror) {
		b.allow(partMirror, v1.ComponentMirror, nil, portMetrics)
	}
	if b.All.Managed(v1.ComponentPostgres) {
		b.allow(partPostgres, v1.ComponentPostgres, []string{partApp, partMirror, partUpgrade, partBackup, PartImport}, 5432)
	}
	if b.All.Managed(v1.ComponentRedis) {
		b.allow(partRedis, v1.ComponentRedis, []string{partApp, partMirror}, 6379)
	}
	if b.All.Managed(v1.ComponentClair) {
		b.allow(partClair, v1.ComponentClair, nil, 8080, 8089)
	}
	if b.All.Managed(v1.ComponentClairPostgres) {
		b.allow(partClairPostgres, v1.ComponentClairPostgres, []string{partClair}, 5432)
	}
}

// allow lets pods in to ports of a part: those of some parts, or for nil all.
func (b *builder) allow(part string, kind v1.ComponentKind, from []string, ports ...int) {
	tcp, rule := corev1.ProtocolTCP, netv1.NetworkPolicyIngressRule{}
	for _, p := range ports {
		rule.Ports = append(rule.Ports, netv1.NetworkPolicyPort{Protocol: &tcp, Port: number(p)})
	}
	for _, f := range from {
		rule.From = append(rule.From, netv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{MatchLabels: b.selector(f)}})
	}
	b.base(&netv1.NetworkPolicy{TypeMeta: types("NetworkPolicy", "networking.k8s.io/v1"), ObjectMeta: b.meta(b.name+"-"+part, part, kind), Spec: netv1.NetworkPolicySpec{
		PodSelector: metav1.LabelSelector{MatchLabels: b.selector(part)}, PolicyTypes: []netv1.PolicyType{netv1.PolicyTypeIngress}, Ingress: []netv1.NetworkPolicyIngressRule{rule}}})
}
