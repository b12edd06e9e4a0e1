import { useEffect, useReducer, useState, type ComponentType, type ReactNode } from 'react';
import { Bones } from './bits';

/** A Part is a component whose code is fetched when it is first shown, or before, by fetch. */
export type Part<P> = ComponentType<P> & { fetch: () => Promise<unknown> };

/**
 * later is a part of a page with code of its own. Until the code is there,
 * instead is shown; afterwards the part is there at once. React's own lazy shows
 * its fallback even then, and what follows a fallback no sooner than 300 ms.
 */
export function later<P extends object>(load: () => Promise<ComponentType<P>>, instead: (props: P) => ReactNode = () => <Bones rows={6} />): Part<P> {
  let There: ComponentType<P> | undefined;
  let coming: Promise<unknown> | undefined;
  const fetch = () =>
    (coming ??= load().then(
      (c) => (There = c),
      (err: unknown) => {
        coming = undefined; // the next who shows it asks again
        throw err;
      },
    ));
  function Later(props: P) {
    const [, again] = useReducer((n: number) => n + 1, 0);
    const [failed, setFailed] = useState<{ error: unknown }>();
    const missed = !There;
    useEffect(() => {
      if (missed) fetch().then(again, (error: unknown) => setFailed({ error }));
    }, []);
    if (failed) throw failed.error;
    return There ? <There {...props} /> : instead(props);
  }
  return Object.assign(Later, { fetch });
}
