import type { Schemas } from '../api/client';
import { t } from '../i18n';
import { bytes } from './format';

/** Bar is a share of a whole, between 0 and 1; of a limit, its colour warns when it comes near. */
export function Bar({ share, label, limit = false }: { share: number; label: string; limit?: boolean }) {
  const s = Math.min(1, Math.max(0, share));
  const color = !limit ? 'var(--pf-t--global--color--brand--default)' : s >= 0.9 ? 'var(--pf-t--global--color--status--danger--default)' : s >= 0.75 ? 'var(--pf-t--global--color--status--warning--default)' : 'var(--pf-t--global--color--brand--default)';
  return (
    <svg className="g-bar" role="img" aria-label={label} viewBox="0 0 100 4" preserveAspectRatio="none">
      <rect width={s * 100} height="4" style={{ fill: color }} />
    </svg>
  );
}

/** Usage shows what a namespace or repository stores, and of how much. */
export function Usage({ report }: { report: Schemas['QuotaReport'] | undefined }) {
  if (!report) return null;
  const { quota_bytes: used, configured_quota: most } = report;
  if (!most) return <p className="g-quiet">{t('{size} stored', { size: bytes(used) })}</p>;
  const text = t('{size} of {most} stored ({percent} %)', { size: bytes(used), most: bytes(most), percent: Math.round((100 * used) / most) });
  return (
    <div className="g-usage">
      <span>{text}</span>
      <Bar share={used / most} label={text} limit />
    </div>
  );
}
