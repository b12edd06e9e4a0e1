package operator

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1 "github.com/gantry-registry/gantry/apis/quay/v1"
	"github.com/gantry-registry/gantry/internal/operator/plan"
	"github.com/gantry-registry/gantry/internal/operator/render"
	"github.com/gantry-registry/gantry/internal/operator/status"
)

// Backups and restores are worked on with their registry: a Job of theirs is
// made of the same facts as the registry's pods.

// byRegistry is the registry that a backup or a restore is of.
func byRegistry(_ context.Context, o client.Object) []reconcile.Request {
	name := ""
	switch o := o.(type) {
	case *v1.QuayRegistryBackup:
		name = o.Spec.Registry
	case *v1.QuayRegistryRestore:
		name = o.Spec.Registry
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: o.GetNamespace(), Name: name}}}
}

// byVault are the registries whose backups lie where a Secret says.
func (r *reconciler) byVault(ctx context.Context, o client.Object) (list []reconcile.Request) {
	var backups v1.QuayRegistryBackupList
	var restores v1.QuayRegistryRestoreList
	if r.client.List(ctx, &backups, client.InNamespace(o.GetNamespace())) != nil || r.client.List(ctx, &restores, client.InNamespace(o.GetNamespace())) != nil {
		return nil // the cache is not there yet; the first look at each registry comes with it
	}
	for i := range backups.Items {
		if backups.Items[i].Spec.Vault.Secret == o.GetName() {
			list = append(list, byRegistry(ctx, &backups.Items[i])...)
		}
	}
	for i := range restores.Items {
		if restores.Items[i].Spec.Vault.Secret == o.GetName() && !restores.Items[i].Over() {
			list = append(list, byRegistry(ctx, &restores.Items[i])...)
		}
	}
	return list
}

// of lists the backups and restores of a registry, the oldest first.
func (r *reconciler) of(ctx context.Context, at types.NamespacedName) (backups []*v1.QuayRegistryBackup, restores []*v1.QuayRegistryRestore, err error) {
	var b v1.QuayRegistryBackupList
	if err := r.client.List(ctx, &b, client.InNamespace(at.Namespace)); err != nil {
		return nil, nil, fmt.Errorf("list backups: %w", err)
	}
	for i := range b.Items {
		if b.Items[i].Spec.Registry == at.Name && b.Items[i].DeletionTimestamp == nil {
			backups = append(backups, b.Items[i].DeepCopy())
		}
	}
	var s v1.QuayRegistryRestoreList
	if err := r.client.List(ctx, &s, client.InNamespace(at.Namespace)); err != nil {
		return nil, nil, fmt.Errorf("list restores: %w", err)
	}
	for i := range s.Items {
		if s.Items[i].Spec.Registry == at.Name && s.Items[i].DeletionTimestamp == nil {
			restores = append(restores, s.Items[i].DeepCopy())
		}
	}
	slices.SortFunc(backups, func(a, b *v1.QuayRegistryBackup) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(restores, func(a, b *v1.QuayRegistryRestore) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	return backups, restores, nil
}

// vaultFlaw is what keeps a vault's Secret from being one; "" = nothing.
func (r *reconciler) vaultFlaw(ctx context.Context, namespace string, v v1.Vault, unencrypted bool) (string, error) {
	s, err := r.secret(ctx, namespace, v.Secret)
	switch {
	case err != nil:
		if b, ok := plan.AsBlocked(err); ok {
			return b.Message, nil
		}
		return "", err
	case s == nil:
		return fmt.Sprintf("there is no Secret %s, which vault names: create it with config.yaml, whose DISTRIBUTED_STORAGE_CONFIG has the location of the backups, and %s of gantry backup keygen", v.Secret, render.VaultKey), nil
	case len(s.Data["config.yaml"]) == 0:
		return fmt.Sprintf("the Secret %s has no config.yaml: its DISTRIBUTED_STORAGE_CONFIG says where the backups lie", v.Secret), nil
	case len(s.Data[render.VaultKey]) == 0 && !unencrypted:
		return fmt.Sprintf("the Secret %s has no %s: add a key of gantry backup keygen, or say unencrypted: true", v.Secret, render.VaultKey), nil
	}
	return "", nil
}

// wanted are the backups whose vault is there, and the restore whose turn it is.
func (r *reconciler) wanted(ctx context.Context, q *v1.QuayRegistry) (backups []*v1.QuayRegistryBackup, restore *v1.QuayRegistryRestore, err error) {
	all, restores, err := r.of(ctx, client.ObjectKeyFromObject(q))
	if err != nil {
		return nil, nil, err
	}
	for _, b := range all {
		flaw, err := r.vaultFlaw(ctx, q.Namespace, b.Spec.Vault, b.Spec.Unencrypted)
		if err != nil {
			return nil, nil, err
		}
		if flaw == "" {
			backups = append(backups, b)
		}
	}
	for _, s := range restores {
		if s.Over() {
			continue
		}
		flaw, err := r.vaultFlaw(ctx, q.Namespace, s.Spec.Vault, s.Spec.Unencrypted)
		if err != nil {
			return nil, nil, err
		}
		if flaw == "" {
			return backups, s, nil
		}
	}
	return backups, nil, nil
}

// work applies the objects of backups, and the Job of a restore when no pod of
// the registry is left.
func (r *reconciler) work(ctx context.Context, q *v1.QuayRegistry, all inventory, set *render.Set, ask *render.Request, seen *status.Seen) error {
	wanted := map[id]bool{}
	for _, o := range set.Backups {
		wanted[idOf(r.scheme, o)] = true
		if j, ok := o.(*batchv1.Job); ok && ask.Restore != nil && all[idOf(r.scheme, j)] == nil {
			continue // what is there is on its way out
		}
		if err := r.apply(ctx, all, q, o); err != nil {
			return err
		}
	}
	for name, o := range all { // a schedule that was taken out
		if c, ok := o.(*batchv1.CronJob); ok && c.Labels[render.LabelBackup] != "" && !wanted[name] && c.DeletionTimestamp == nil {
			if err := r.client.Delete(ctx, o, client.PropagationPolicy("Background")); client.IgnoreNotFound(err) != nil {
				return fmt.Errorf("take away CronJob %s: %w", name.name, err)
			}
			r.writes.Add(1)
		}
	}
	if set.Restore == nil {
		return nil
	}
	seen.Waiting = "the restore " + ask.Restore.Name + " is under way"
	left, err := r.running(ctx, q)
	if err != nil || left > 0 {
		return err
	}
	return r.apply(ctx, all, q, set.Restore)
}

// running is how many pods there are that use the database.
func (r *reconciler) running(ctx context.Context, q *v1.QuayRegistry) (n int, err error) {
	for _, part := range render.StoppedParts() {
		var list corev1.PodList
		if err := r.client.List(ctx, &list, client.InNamespace(q.Namespace), client.MatchingLabels{render.LabelRegistry: q.Name, render.LabelComponent: part}); err != nil {
			return 0, err
		}
		for i := range list.Items {
			if p := list.Items[i].Status.Phase; p != corev1.PodSucceeded && p != corev1.PodFailed {
				n++
			}
		}
	}
	return n, nil
}

// report is what a pod of the Job said of what it did; nil = nothing.
func (r *reconciler) report(ctx context.Context, from client.Reader, job *batchv1.Job) (summary *v1.BackupSummary, why string, err error) {
	var list corev1.PodList
	if err := from.List(ctx, &list, client.InNamespace(job.Namespace), client.MatchingLabels{"batch.kubernetes.io/job-name": job.Name}); err != nil {
		return nil, "", err
	}
	slices.SortFunc(list.Items, func(a, b corev1.Pod) int { return b.CreationTimestamp.Compare(a.CreationTimestamp.Time) })
	for _, p := range list.Items {
		for _, c := range p.Status.ContainerStatuses {
			t := c.State.Terminated
			if t == nil || t.ExitCode != 0 {
				continue
			}
			var s v1.BackupSummary
			if json.Unmarshal([]byte(t.Message), &s) == nil && s.ID != "" {
				return &s, "", nil
			}
		}
	}
	return nil, status.Pods(list.Items), nil
}

// jobOf is the newest Job with that label.
func jobOf(all inventory, label, name string) (job *batchv1.Job) {
	for _, o := range all {
		if j, ok := o.(*batchv1.Job); ok && j.Labels[label] == name && (job == nil || j.CreationTimestamp.After(job.CreationTimestamp.Time)) {
			job = j
		}
	}
	return job
}

// tellWork writes how far backups and restores are.
func (r *reconciler) tellWork(ctx context.Context, q *v1.QuayRegistry, all inventory, blocked *plan.Blocked) error {
	backups, restores, err := r.of(ctx, client.ObjectKeyFromObject(q))
	if err != nil {
		return err
	}
	turn := false // a restore before it is not over
	for _, s := range restores {
		if s.Over() {
			continue
		}
		next, err := r.restoreStatus(ctx, q, all, s, blocked, turn)
		if err != nil {
			return err
		}
		turn = true
		if err := r.tellRestore(ctx, s, next); err != nil {
			return err
		}
	}
	for _, b := range backups {
		next, err := r.backupStatus(ctx, q, all, b, blocked)
		if err != nil {
			return err
		}
		if err := r.tellBackup(ctx, b, next); err != nil {
			return err
		}
	}
	return nil
}

// outcome is how far a Job is. from is where its pods are read: a cache may be
// behind the Job's.
func (r *reconciler) outcome(ctx context.Context, from client.Reader, job *batchv1.Job) (phase v1.WorkPhase, message string, summary *v1.BackupSummary, err error) {
	done, failed := ended(job)
	if job.CreationTimestamp.IsZero() { // it was applied a moment ago
		return v1.WorkRunning, "", nil, nil
	}
	summary, why, err := r.report(ctx, from, job)
	switch {
	case err != nil:
		return "", "", nil, err
	case done:
		if summary != nil && summary.Missing > 0 {
			message = fmt.Sprintf("%d blobs are missing, of which no storage has the bytes", summary.Missing)
		}
		return v1.WorkSucceeded, message, summary, nil
	case failed != "":
		return v1.WorkFailed, strings.TrimSuffix(failed+": "+why, ": "), nil, nil
	}
	return v1.WorkRunning, why, nil, nil
}

func (r *reconciler) backupStatus(ctx context.Context, q *v1.QuayRegistry, all inventory, b *v1.QuayRegistryBackup, blocked *plan.Blocked) (s v1.QuayRegistryBackupStatus, err error) {
	s = *b.Status.DeepCopy()
	s.ObservedGeneration, s.Message = b.Generation, ""
	s.Phase = v1.WorkPending
	if b.Spec.Schedule != "" {
		s.Phase = v1.WorkScheduled
	}
	flaw, err := r.vaultFlaw(ctx, q.Namespace, b.Spec.Vault, b.Spec.Unencrypted)
	if err != nil {
		return s, err
	}
	job := jobOf(all, render.LabelBackup, b.Name)
	if job != nil && b.Spec.Schedule == "" && !strings.HasSuffix(job.Name, fmt.Sprintf("-backup-%d", b.Generation)) {
		job = nil // of an older spec
	}
	switch {
	case flaw != "":
		s.Phase, s.Message = v1.WorkPending, flaw
		return s, nil
	case job == nil && blocked != nil:
		s.Phase, s.Message = v1.WorkPending, "the registry is not rolled out: "+blocked.Message
		return s, nil
	case job == nil:
		if b.Spec.Suspend {
			s.Phase, s.Message = v1.WorkPending, "suspended"
		} else if s.Phase == v1.WorkPending {
			s.Message = "it waits for the registry"
		}
		return s, nil
	}
	s.Job = job.Name
	phase, message, summary, err := r.outcome(ctx, r.client, job)
	if err != nil {
		return s, err
	}
	s.Phase, s.Message = phase, message
	if summary != nil {
		s.Last = summary
	}
	if b.Spec.Suspend && phase == v1.WorkRunning && job.Status.Active == 0 {
		s.Phase, s.Message = v1.WorkPending, "suspended"
	}
	return s, nil
}

func (r *reconciler) restoreStatus(ctx context.Context, q *v1.QuayRegistry, all inventory, b *v1.QuayRegistryRestore, blocked *plan.Blocked, turn bool) (s v1.QuayRegistryRestoreStatus, err error) {
	s = v1.QuayRegistryRestoreStatus{Phase: v1.WorkPending}
	flaw, err := r.vaultFlaw(ctx, q.Namespace, b.Spec.Vault, b.Spec.Unencrypted)
	if err != nil {
		return s, err
	}
	job := jobOf(all, render.LabelRestore, b.Name)
	switch {
	case job != nil:
		s.Job = job.Name
		s.Phase, s.Message, s.Restored, err = r.outcome(ctx, r.reader, job)
		return s, err
	case flaw != "":
		s.Message = flaw
	case turn:
		s.Message = "another restore of the registry is under way"
	case blocked != nil:
		s.Message = "the registry is not rolled out: " + blocked.Message
	default:
		left, err := r.running(ctx, q)
		if err != nil {
			return s, err
		}
		s.Message = "it waits for the database"
		if left > 0 {
			s.Message = fmt.Sprintf("it waits for %d pods of the registry to end", left)
		}
	}
	return s, nil
}

// eventOf is how the end of a piece of work is told.
func (r *reconciler) eventOf(o client.Object, was, is v1.WorkPhase, message string) {
	switch {
	case was == is:
	case is == v1.WorkSucceeded:
		r.events.Eventf(o, nil, corev1.EventTypeNormal, string(is), "Reconcile", "%s", message)
	case is == v1.WorkFailed:
		r.events.Eventf(o, nil, corev1.EventTypeWarning, string(is), "Reconcile", "%s", message)
	}
}

func said(s *v1.BackupSummary, message string) string {
	if s == nil {
		return message
	}
	return strings.TrimSuffix(fmt.Sprintf("backup %s of %s with %d blobs; %s", s.ID, s.Time, s.Blobs, message), "; ")
}

func (r *reconciler) tellBackup(ctx context.Context, b *v1.QuayRegistryBackup, next v1.QuayRegistryBackupStatus) error {
	if reflect.DeepEqual(b.Status, next) {
		return nil
	}
	before := b.DeepCopy()
	b.Status = next
	return r.writeWork(ctx, before, b, before.Status.Phase, next.Phase, said(next.Last, next.Message))
}

func (r *reconciler) tellRestore(ctx context.Context, b *v1.QuayRegistryRestore, next v1.QuayRegistryRestoreStatus) error {
	if reflect.DeepEqual(b.Status, next) {
		return nil
	}
	before := b.DeepCopy()
	b.Status = next
	return r.writeWork(ctx, before, b, before.Status.Phase, next.Phase, said(next.Restored, next.Message))
}

// writeWork writes the status of a piece of work, and an event when its phase
// is another one.
func (r *reconciler) writeWork(ctx context.Context, before, after client.Object, was, is v1.WorkPhase, message string) error {
	if err := r.client.Status().Patch(ctx, after, client.MergeFrom(before)); err != nil {
		return skipGone(err)
	}
	r.writes.Add(1)
	r.eventOf(after, was, is, message)
	return nil
}

func skipGone(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return fmt.Errorf("write the status of a backup: %w", err)
}

// without tells backups and restores that there is no registry of theirs.
func (r *reconciler) without(ctx context.Context, at types.NamespacedName) error {
	backups, restores, err := r.of(ctx, at)
	if err != nil {
		return err
	}
	message := fmt.Sprintf("there is no QuayRegistry %s in this namespace", at.Name)
	for _, b := range backups {
		next := *b.Status.DeepCopy()
		next.Phase, next.Message, next.ObservedGeneration = v1.WorkPending, message, b.Generation
		if err := r.tellBackup(ctx, b, next); err != nil {
			return err
		}
	}
	for _, s := range restores {
		if s.Over() {
			continue
		}
		if err := r.tellRestore(ctx, s, v1.QuayRegistryRestoreStatus{Phase: v1.WorkPending, Message: message}); err != nil {
			return err
		}
	}
	return nil
}
