import { Alert, Button, FormSelect, FormSelectOption, Tab, Tabs, TabTitleText, Title } from '@patternfly/react-core';
import { useState } from 'react';
import { useSearch } from '@tanstack/react-router';
import { hostOf } from '../api/boot';
import { t } from '../i18n';
import { Command } from '../ui/bits';
import { Link, useTitle } from '../ui/link';
import { useBoot, useUser } from '../ui/session';

export type Client = { id: string; name: string; steps: { title: string; text: string }[]; note?: string };

/** clientsFor are the commands of each client for a registry, an account and a repository. insecure is whether the registry is reached by plain HTTP. */
export function clientsFor(host: string, account: string, repo: string, insecure: boolean): Client[] {
  const image = `${host}/${repo}`;
  const tls = insecure ? ' --tls-verify=false' : '';
  const plain = insecure ? ' --plain-http' : '';
  const login = t('Sign in');
  const push = t('Push');
  const pull = t('Pull');
  return [
    {
      id: 'podman',
      name: 'Podman',
      steps: [
        { title: login, text: `podman login${tls} -u '${account}' ${host}` },
        { title: push, text: `podman pull docker.io/library/alpine\npodman tag alpine ${image}:latest\npodman push${tls} ${image}:latest` },
        { title: pull, text: `podman pull${tls} ${image}:latest` },
      ],
    },
    {
      id: 'docker',
      name: 'Docker',
      steps: [
        { title: login, text: `docker login -u '${account}' ${host}` },
        { title: push, text: `docker pull alpine\ndocker tag alpine ${image}:latest\ndocker push ${image}:latest` },
        { title: pull, text: `docker pull ${image}:latest` },
      ],
      note: insecure ? t('Docker takes a registry without TLS only from localhost, or when its daemon.json has it in "insecure-registries".') : undefined,
    },
    {
      id: 'helm',
      name: 'Helm',
      steps: [
        { title: login, text: `helm registry login${plain} -u '${account}' ${host}` },
        { title: push, text: `helm create mychart\nhelm package mychart\nhelm push${plain} mychart-0.1.0.tgz oci://${image.replace(/\/[^/]+$/, '')}` },
        { title: pull, text: `helm pull${plain} oci://${image.replace(/\/[^/]+$/, '')}/mychart --version 0.1.0` },
      ],
    },
    {
      id: 'oras',
      name: 'ORAS',
      steps: [
        { title: login, text: `oras login${plain} -u '${account}' ${host}` },
        { title: push, text: `echo hello > hello.txt\noras push${plain} ${image}:hello hello.txt:text/plain` },
        { title: pull, text: `oras pull${plain} ${image}:hello` },
      ],
    },
    {
      id: 'kubernetes',
      name: 'Kubernetes',
      steps: [
        { title: t('Pull secret'), text: `kubectl create secret docker-registry gantry-pull --docker-server=${host} --docker-username='${account}' --docker-password="$TOKEN"` },
        { title: t('Use it'), text: `kubectl patch serviceaccount default -p '{"imagePullSecrets": [{"name": "gantry-pull"}]}'\nkubectl run app --image=${image}:latest` },
      ],
      note: t('Use a robot account in clusters: its token can be replaced without anybody’s password.'),
    },
    {
      id: 'containerd',
      name: 'containerd',
      steps: [
        { title: `/etc/containerd/certs.d/${host}/hosts.toml`, text: `server = "${insecure ? 'http' : 'https'}://${host}"\n\n[host."${insecure ? 'http' : 'https'}://${host}"]\n  capabilities = ["pull", "resolve", "push"]` },
        { title: pull, text: `ctr images pull --hosts-dir /etc/containerd/certs.d --user '${account}' ${image}:latest` },
      ],
    },
  ];
}

/** Commands are the commands of a repository, for one client at a time. */
export function Commands({ account, repo }: { account: string; repo: string }) {
  const boot = useBoot();
  const [at, setAt] = useState<string | number>(() => localStorage.getItem('gantry-client') ?? 'podman');
  const clients = clientsFor(hostOf(boot), account, repo, location.protocol === 'http:' && boot.config.PREFERRED_URL_SCHEME !== 'https');
  return (
    <Tabs
      activeKey={at}
      onSelect={(_, k) => {
        setAt(k);
        localStorage.setItem('gantry-client', String(k));
      }}
      aria-label={t('Client')}
      isBox
      mountOnEnter
      unmountOnExit
    >
      {clients.map((c) => (
        <Tab key={c.id} eventKey={c.id} title={<TabTitleText>{c.name}</TabTitleText>}>
          <div className="g-stack g-padded">
            {c.steps.map((s) => (
              <div key={s.title}>
                <Title headingLevel="h3" size="md">
                  {s.title}
                </Title>
                {s.text.includes('\n') && !s.text.startsWith('server') ? s.text.split('\n').map((l) => <Command key={l} text={l} />) : <Command text={s.text} label={s.title} />}
              </div>
            ))}
            {c.note && <Alert isInline isPlain variant="info" title={c.note} />}
          </div>
        </Tab>
      ))}
    </Tabs>
  );
}

/** Guide leads from an empty registry to a first image that was pushed and pulled. */
export function Guide() {
  const user = useUser()!;
  const { who } = useSearch({ strict: false });
  const [ns, setNs] = useState(user.username);
  useTitle(t('Push and pull'));
  const spaces = [user.username, ...user.organizations.filter((o) => o.can_create_repo).map((o) => o.name)];
  return (
    <div className="g-section">
      <div className="g-head">
        <Title headingLevel="h1">{t('Push and pull')}</Title>
      </div>
      <p>{t('A repository is made by the first push to it. Copy these lines into a terminal; only the password is asked for.')}</p>
      <div className="g-tools">
        <label htmlFor="guide-ns">{t('Push to')}</label>
        <div>
          <FormSelect id="guide-ns" value={ns} onChange={(_, v) => setNs(v)}>
            {spaces.map((s) => (
              <FormSelectOption key={s} value={s} label={s} />
            ))}
          </FormSelect>
        </div>
      </div>
      <Commands account={who ?? user.username} repo={`${ns}/app`} />
      <div className="g-stack g-padded">
        <Title headingLevel="h2" size="lg">
          {t('For machines: a robot')}
        </Title>
        <p>{t('CI jobs and clusters sign in as a robot, with a token instead of a password. A robot has only the roles that you give it.')}</p>
        <div className="g-wrap">
          <Link href={`/user/${encodeURIComponent(user.username)}?tab=robots`}>{t('Robots of {name}', { name: user.username })}</Link>
          <Button variant="link" isInline component="a" href="/repository">
            {t('Repositories')}
          </Button>
        </div>
      </div>
    </div>
  );
}
