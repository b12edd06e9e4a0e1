import { Alert, Switch } from '@patternfly/react-core';
import { t } from '../i18n';
import { leaving, useEditor } from './store';
import type { Managed, Own } from './types';

/** Lock says that the operator runs a component, and lets the user take it over. */
export function Lock({ managed: m }: { managed: Managed }) {
  const e = useEditor();
  const own = e.changes.manage[m.component] === false;
  return (
    <Alert isInline variant={own ? 'warning' : 'info'} title={own ? t('You take {name} over from the operator', { name: m.component }) : t('The operator manages {name}', { name: m.component })} component="h2">
      <div className="g-stacked">
        <span>{own ? t('When you save, the operator stops running it and uses what you write below. What it ran goes on only if you run it yourself: fill in the fields first.') : t('Its fields are set by the operator and locked here.')}</span>
        {m.unmanageable && e.state.writable && <ManagedSwitch component={m.component} on={!own} />}
      </div>
    </Alert>
  );
}

/** HandBack says that the user runs a component, and lets the operator have it. */
export function HandBack({ own: o }: { own: Own }) {
  const e = useEditor();
  const back = e.changes.manage[o.component] === true;
  const gone = leaving(e.state, o);
  return (
    <Alert isInline variant={back ? 'warning' : 'info'} title={back ? t('You hand {name} back to the operator', { name: o.component }) : t('You run {name} yourself', { name: o.component })} component="h2">
      <div className="g-stacked">
        {back ? (
          <>
            <span>{gone.length > 0 ? t('When you save, the operator runs it and sets its fields. These leave your configuration:') : t('When you save, the operator runs it and sets its fields. Your configuration has none of them.')}</span>
            {gone.length > 0 && (
              <ul className="e-names" aria-label={t('Fields that leave the configuration')}>
                {gone.map((n) => <li key={n}><code>{n}</code></li>)}
              </ul>
            )}
            <span>{dataOf(o.component)}</span>
          </>
        ) : (
          <span>{t('The registry uses what your configuration says of it. The operator can run it instead.')}</span>
        )}
        {e.state.writable && <ManagedSwitch component={o.component} on={back} />}
      </div>
    </Alert>
  );
}

function ManagedSwitch({ component, on }: { component: string; on: boolean }) {
  const e = useEditor();
  return <Switch id={`manage-${component}`} label={t('Managed by the operator')} isChecked={on} onChange={(_, x) => e.setManaged(component, x)} />;
}

/** Handed warns in the review of what becomes of a component that is handed back. */
export const Handed = ({ component }: { component: string }) => (
  <Alert isInline variant="warning" title={t('You hand {name} back to the operator', { name: component })} component="h2">
    {dataOf(component)}
  </Alert>
);

/** keepsData are the components whose data the registry cannot be without. */
export const keepsData = (component: string) => component === 'postgres' || component === 'objectstorage';

/** dataOf says what becomes of what a component keeps when the operator has it again. */
export function dataOf(component: string): string {
  const known: Record<string, string> = {
    postgres: t('The operator’s database is not yours: it has what it had when you took it over, or nothing. Nothing is copied, and yours is left as it is. Accounts, repositories and tags that are only in yours are gone from the registry, and in a week or so the storage is cleared of images that the operator’s database does not know. Make a backup first.'),
    redis: t('The operator’s Redis is not yours, and begins empty. Nothing is copied, and yours is left as it is. Lines of builds that run now are lost; there is nothing else that lasts.'),
    objectstorage: t('The operator’s storage is not yours: it has what it had when you took it over, or nothing. Nothing is copied, and yours is left as it is. Images that are only in yours cannot be pulled.'),
    clair: t('The operator’s Clair is not yours, and scans the images again; until then they have no report. Yours is left as it is.'),
    route: t('The operator makes the way in, a Route, an Ingress or an HTTPRoute, and decides who ends TLS. SERVER_HOSTNAME stays as it is: its name has to lead there.'),
    mirror: t('The operator runs the mirror workers. What is mirrored stays as it is, and goes on.'),
  };
  return known[component] ?? t('Nothing of yours is copied or deleted.');
}
