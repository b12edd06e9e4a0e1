package notify

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/gantry-registry/gantry/internal/gantry"
	"github.com/gantry-registry/gantry/internal/jobs"
	"github.com/gantry-registry/gantry/internal/store"
)

// comparison is the payload of a QuotaJob.
type comparison struct {
	Namespace gantry.AccountID `json:"namespace"`
	Refused   bool             `json:"refused"`
}

func compare(ns gantry.AccountID, refused bool) store.NewJob {
	return store.NewJob{Kind: QuotaJob, Dedupe: fmt.Sprintf("%d %t", ns, refused), Rerun: true, Payload: comparison{ns, refused}}
}

// Refused queues what is to be told of a push that was refused because of the
// quota of a namespace.
func (s *Service) Refused(ctx context.Context, ns gantry.AccountID) error {
	_, err := s.o.Store.Enqueue(ctx, compare(ns, true))
	return err
}

// quota compares what a namespace stores with its quota, and tells of limits
// that it has passed since the last time, in the inbox of its administrators
// and, with FEATURE_QUOTA_NOTIFICATIONS, by its notifications.
func (s *Service) quota(ctx context.Context, r *jobs.Run) error {
	var in comparison
	if err := r.Payload(&in); err != nil {
		return err
	}
	set := s.o.Settings()
	if !set.Quota {
		return nil
	}
	var wanted []store.Notification
	if set.QuotaEvents {
		var err error
		if wanted, err = s.o.Store.NotificationsOf(ctx, in.Namespace, 0); err != nil {
			return err
		}
	}
	now := s.o.Store.Now()
	err := s.o.Store.CompareQuota(ctx, store.QuotaComparison{Namespace: in.Namespace, Default: set.DefaultQuota, Refused: in.Refused, Cooldown: set.QuotaCooldown,
		Tell: func(c store.QuotaCrossing) (store.Notice, []store.NewJob, error) {
			event := EventQuotaWarning
			if c.Limit.Kind == store.QuotaReject {
				event = EventQuotaError
			}
			data := map[string]any{"namespace": c.Name, "type": c.Limit.Kind, "limit_percent": c.Limit.Percent, "limit_bytes": c.Quota, "quota_bytes": c.Used,
				"message": fmt.Sprintf("%s of its quota of %s are used, the limit %q is at %d%%", gantry.FormatBytes(c.Used), gantry.FormatBytes(c.Quota), c.Limit.Kind, c.Limit.Percent)}
			if in.Refused {
				data["message"] = data["message"].(string) + "; a push was refused"
			}
			b, err := json.Marshal(data)
			notice := store.Notice{Kind: event, Metadata: b}
			if c.Kind == gantry.Organization {
				notice.Organization = c.Name
			}
			var all []store.NewJob
			for i := range wanted {
				if n := &wanted[i]; n.Event == event && !n.Disabled() && err == nil {
					var j store.NewJob
					j, err = deliver(n, payload{Event: event, At: now, ID: fmt.Sprintf("quota-%d-%d-%d", in.Namespace, c.Limit.ID, now.UnixMilli()), Data: data})
					all = append(all, j)
				}
			}
			return notice, all, err
		}})
	if gantry.Is(err, gantry.NotFound) {
		return nil // the namespace is gone
	}
	return err
}
