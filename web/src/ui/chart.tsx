import { useId } from 'react';
import { language, t } from '../i18n';

/** Count is how often something of a kind happened on a day, "2026-01-31". */
export type Count = { day: string; kind: string; n: number };

const colors = ['#0066cc', '#3d7317', '#b1380b', '#63bdbd', '#7551a6', '#dca614', '#8a8d90'];

/** kindsOf are the kinds by how often they happened, the rest as one. */
export function kindsOf(counts: Count[], most = 6): string[] {
  const sums = new Map<string, number>();
  for (const c of counts) sums.set(c.kind, (sums.get(c.kind) ?? 0) + c.n);
  return [...sums].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0])).slice(0, most).map(([k]) => k);
}

/** daysBetween are all days of a range, both ends among them. */
export function daysBetween(from: string, to: string): string[] {
  const out: string[] = [];
  for (let d = Date.parse(`${from}T00:00:00Z`); d <= Date.parse(`${to}T00:00:00Z`) && out.length < 400; d += 86_400_000) out.push(new Date(d).toISOString().slice(0, 10));
  return out;
}

/** Chart draws what happened on each day as a bar of its kinds. The same numbers are in its table for who does not see it. */
export function Chart({ counts, from, to, nameOf, label }: { counts: Count[]; from: string; to: string; nameOf: (kind: string) => string; label: string }) {
  const id = useId();
  const days = daysBetween(from, to);
  const kinds = kindsOf(counts);
  const rest = t('Other');
  const groups = counts.some((c) => !kinds.includes(c.kind)) ? [...kinds, ''] : kinds;
  const at = new Map<string, number>();
  for (const c of counts) {
    const k = `${c.day}/${kinds.includes(c.kind) ? c.kind : ''}`;
    at.set(k, (at.get(k) ?? 0) + c.n);
  }
  const sum = (day: string) => groups.reduce((n, k) => n + (at.get(`${day}/${k}`) ?? 0), 0);
  const most = Math.max(1, ...days.map(sum));
  const w = 900;
  const h = 180;
  const left = 44;
  const step = (w - left) / Math.max(1, days.length);
  const y = (n: number) => (n / most) * (h - 30);
  const every = Math.ceil(days.length / 10);
  const date = (d: string) => new Date(`${d}T00:00:00Z`).toLocaleDateString(language(), { month: 'short', day: 'numeric', timeZone: 'UTC' });
  const name = (k: string) => (k ? nameOf(k) : rest);
  return (
    <figure className="g-figure">
      <svg className="g-chart" viewBox={`0 0 ${w} ${h + 20}`} role="img" aria-label={label} aria-describedby={id}>
        {[0, 0.5, 1].map((f) => (
          <g key={f}>
            <line x1={left} x2={w} y1={h - y(most * f)} y2={h - y(most * f)} stroke="currentColor" opacity="0.15" />
            <text x={left - 6} y={h - y(most * f) + 4} textAnchor="end">
              {Math.round(most * f).toLocaleString(language())}
            </text>
          </g>
        ))}
        {days.map((d, i) => {
          let base = h;
          return (
            <g key={d}>
              <title>{`${date(d)}: ${groups.map((k) => [name(k), at.get(`${d}/${k}`) ?? 0] as const).filter(([, n]) => n).map(([k, n]) => `${k} ${n}`).join(', ') || '0'}`}</title>
              <rect x={left + i * step} y="0" width={step} height={h} fill="transparent" />
              {groups.map((k, j) => {
                const n = at.get(`${d}/${k}`) ?? 0;
                base -= y(n);
                return n > 0 && <rect key={k} x={left + i * step + step * 0.15} y={base} width={Math.min(step * 0.7, 40)} height={y(n)} fill={colors[j]} />;
              })}
              {i % every === 0 && (
                <text x={left + i * step} y={h + 15}>
                  {date(d)}
                </text>
              )}
            </g>
          );
        })}
      </svg>
      <ul className="g-legend" id={id}>
        {groups.map((k, j) => (
          <li key={k}>
            <svg viewBox="0 0 10 10" aria-hidden="true">
              <rect width="10" height="10" rx="2" fill={colors[j]} />
            </svg>
            {name(k)}: {days.reduce((n, d) => n + (at.get(`${d}/${k}`) ?? 0), 0).toLocaleString(language())}
          </li>
        ))}
      </ul>
    </figure>
  );
}
