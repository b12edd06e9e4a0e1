import { Button, Card, CardBody, CardHeader, CardTitle, EmptyState, EmptyStateActions, EmptyStateBody, EmptyStateFooter, Label, Title } from '@patternfly/react-core';
import { useQuery } from '@tanstack/react-query';
import { api, ok, type Schemas } from '../api/client';
import { t } from '../i18n';
import { Face, Load } from '../ui/bits';
import { firstLine } from '../ui/format';
import { Link, repoPath, useGo, useTitle } from '../ui/link';
import { useUser } from '../ui/session';
import { Usage } from '../ui/usage';

type Repo = Schemas['RepositoryEntry'];

function RepoCard({ r }: { r: Repo }) {
  const repo = `${r.namespace}/${r.name}`;
  return (
    <Card isCompact>
      <CardHeader>
        <CardTitle component="h3">
          <Link href={repoPath(repo)}>{repo}</Link>
        </CardTitle>
      </CardHeader>
      <CardBody>
        <div className="g-wrap">
          <Label isCompact color={r.is_public ? 'green' : 'grey'}>{r.is_public ? t('Public') : t('Private')}</Label>
          {r.state !== 'NORMAL' && <Label isCompact color="orange">{r.state === 'READ_ONLY' ? t('Read-only') : t('Mirror')}</Label>}
          <span className="g-quiet g-clip">{firstLine(r.description)}</span>
        </div>
      </CardBody>
    </Card>
  );
}

/** Overview is the first page of who has signed in: what is theirs. */
export function Overview() {
  const user = useUser()!;
  const go = useGo();
  useTitle(t('Overview'));
  const starred = useQuery({ queryKey: ['repositories', 'starred', 'first'], queryFn: async () => (await ok(api.GET('/repository', { params: { query: { starred: true } } }))).repositories });
  const mine = useQuery({ queryKey: ['repositories', 'of', user.username, 'first'], queryFn: async () => (await ok(api.GET('/repository', { params: { query: { namespace: user.username } } }))).repositories });
  return (
    <>
      <div className="g-head">
        <Title headingLevel="h1">{t('Overview')}</Title>
      </div>
      <Load query={mine}>
        {(own) =>
          own.length === 0 && starred.data?.length === 0 && user.organizations.length === 0 ? (
            <EmptyState titleText={t('Push your first image')} headingLevel="h2">
              <EmptyStateBody>{t('There is nothing of yours yet. Three commands bring an image here and back.')}</EmptyStateBody>
              <EmptyStateFooter>
                <EmptyStateActions>
                  <Button onClick={() => go('/guide')}>{t('Show me the commands')}</Button>
                </EmptyStateActions>
                <EmptyStateActions>
                  <Button variant="link" onClick={() => go('/organization')}>
                    {t('Make an organization for a team')}
                  </Button>
                </EmptyStateActions>
              </EmptyStateFooter>
            </EmptyState>
          ) : (
            <>
              {(starred.data?.length ?? 0) > 0 && (
                <section className="g-section" aria-labelledby="starred">
                  <h2 id="starred">{t('Starred')}</h2>
                  <div className="g-cards">{starred.data!.slice(0, 12).map((r) => <RepoCard key={r.namespace + r.name} r={r} />)}</div>
                </section>
              )}
              <section className="g-section" aria-labelledby="mine">
                <div className="g-head">
                  <h2 id="mine">{t('My repositories')}</h2>
                  <Link href={`/repository?ns=${encodeURIComponent(user.username)}`}>{t('All of them')}</Link>
                </div>
                {own.length === 0 ? <p className="g-quiet">{t('None yet: a push to {name} makes one.', { name: `${user.username}/…` })} <Link href="/guide">{t('Show me the commands')}</Link></p> : <div className="g-cards">{own.slice(0, 9).map((r) => <RepoCard key={r.name} r={r} />)}</div>}
                <Usage report={user.quota_report} />
              </section>
            </>
          )
        }
      </Load>
      {user.organizations.length > 0 && (
        <section className="g-section" aria-labelledby="orgs">
          <h2 id="orgs">{t('Organizations')}</h2>
          <div className="g-cards">
            {user.organizations.map((o) => (
              <Card key={o.name} isCompact>
                <CardBody>
                  <div className="g-row">
                    <Face name={o.name} color={o.avatar.color} square />
                    <Link href={`/organization/${encodeURIComponent(o.name)}`}>{o.name}</Link>
                    <span className="g-grow" />
                    {o.is_org_admin && <Label isCompact color="purple">{t('Admin')}</Label>}
                  </div>
                </CardBody>
              </Card>
            ))}
          </div>
        </section>
      )}
    </>
  );
}
