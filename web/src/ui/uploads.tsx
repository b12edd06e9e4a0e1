import { t } from '../i18n';
import { bytes, left } from './format';
import type { News } from './live';
import { Bar } from './usage';

/** Uploads is what clients are sending, below the page, so that nothing moves when it comes and goes. */
export function Uploads({ list }: { list: News[] }) {
  if (list.length === 0) return null;
  const sum = (f: (n: News) => number | undefined) => list.reduce((all, n) => all + (f(n) ?? 0), 0);
  const done = sum((n) => n.done);
  const rate = sum((n) => n.rate);
  const total = list.every((n) => n.total) ? sum((n) => n.total) : 0;
  const text = total > 0 ? t('{done} of {total}', { done: bytes(done), total: bytes(total) }) : bytes(done);
  return (
    <aside className="g-uploads" aria-label={t('Uploads')}>
      <span>{t('Layers that arrive: {n}', { n: list.length })}</span>
      {total > 0 && <Bar share={done / total} label={text} />}
      <span className="g-nowrap">
        {text}
        <span className="g-quiet">
          {rate > 0 && ` · ${t('{size}/s', { size: bytes(rate) })}`}
          {rate > 0 && total > done && ` · ${t('{time} left', { time: left((total - done) / rate) })}`}
        </span>
      </span>
    </aside>
  );
}
