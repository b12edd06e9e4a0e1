import { Button } from '@patternfly/react-core';
import { call, type Schemas } from '../api/client';
import { t } from '../i18n';
import { useDialogs, type Field } from './dialogs';
import { ListSection, useRefresh } from './list';
import { Menu } from './menu';
import { useBoot } from './session';

type Prune = Schemas['PrunePolicy'];
type Immutability = Schemas['ImmutabilityPolicy'];

// The server reads expressions of RE2, which this finds most errors of.
function pattern(v: string): string | undefined {
  try {
    new RegExp(v);
    return undefined;
  } catch {
    return t('This is no regular expression');
  }
}

const matchField = (initial?: boolean): Field => ({
  name: 'matches',
  label: t('Tags that'),
  kind: 'select',
  initial: String(initial ?? true),
  options: [
    { value: 'true', label: t('match the expression') },
    { value: 'false', label: t('do not match the expression') },
  ],
});

const aboutTags = (p: { tagPattern: string | null; tagPatternMatches: boolean }) =>
  p.tagPattern ? (p.tagPatternMatches ? t('tags that match {pattern}', { pattern: p.tagPattern }) : t('tags that do not match {pattern}', { pattern: p.tagPattern })) : t('all tags');

/** PrunePolicies are the rules by which tags are deleted by themselves. */
export function PrunePolicies({ place, may }: { place: string; may: boolean }) {
  const on = useBoot().features.AUTO_PRUNE;
  const dialogs = useDialogs();
  const key = ['policies', place, 'prune'];
  const refresh = useRefresh(key);
  if (!on) return null;
  const path = `${place}/autoprunepolicy`;
  const edit = (p?: Prune) =>
    dialogs.form({
      title: p ? t('Change the rule') : t('Add a rule'),
      fields: [
        {
          name: 'method',
          label: t('Keep'),
          kind: 'select',
          initial: p?.method,
          options: [
            { value: 'number_of_tags', label: t('the newest tags') },
            { value: 'creation_date', label: t('tags up to an age') },
          ],
        },
        { name: 'number', label: t('How many'), kind: 'number', initial: p?.method === 'number_of_tags' ? String(p.value) : '10', shown: (v) => v.method === 'number_of_tags', check: (v) => (/^[1-9]\d*$/.test(v) ? undefined : t('A whole number of at least 1')) },
        { name: 'age', label: t('Age'), initial: p?.method === 'creation_date' ? String(p.value) : '30d', shown: (v) => v.method === 'creation_date', check: (v) => (/^[1-9]\d*[smhdw]$/.test(v) ? undefined : t('A number and s, m, h, d or w, such as 30d')) },
        { name: 'pattern', label: t('Only for tags by a regular expression'), initial: p?.tagPattern ?? '', optional: true, check: pattern, help: t('Empty: all tags. Such as ^pr- for those that begin with pr-') },
        { ...matchField(p?.tagPatternMatches), shown: (v) => !!v.pattern },
      ],
      action: t('Save'),
      submit: async (v) => {
        const body = { method: v.method, value: v.method === 'number_of_tags' ? Number(v.number) : v.age, tagPattern: v.pattern || null, tagPatternMatches: v.matches !== 'false' };
        await (p ? call('PUT', `${path}/${p.uuid}`, body) : call('POST', path, body));
        await refresh();
      },
    });
  return (
    <ListSection
      title={t('Auto-prune')}
      text={t('Tags that no rule keeps are deleted by themselves, and can be restored by the time machine for a while.')}
      tools={may && <Button variant="secondary" onClick={() => edit()}>{t('Add a rule')}</Button>}
      queryKey={key}
      get={async () => (await call<{ policies: Prune[] }>('GET', path)).policies}
      rowKey={(p) => p.uuid}
      empty={{ title: t('Nothing is pruned'), text: t('Without a rule, tags stay until somebody deletes them.') }}
      columns={[
        { key: 'keep', title: t('Keep'), cell: (p) => (p.method === 'number_of_tags' ? t('the newest {n} tag|the newest {n} tags', { n: Number(p.value) }) : t('tags younger than {age}', { age: String(p.value) })) },
        { key: 'of', title: t('Of'), cell: (p) => aboutTags(p) },
        may && {
          key: 'menu',
          title: '',
          narrow: true,
          cell: (p) => (
            <Menu
              label={t('Actions')}
              items={[
                { label: t('Edit'), onClick: () => edit(p) },
                { label: t('Delete'), danger: true, onClick: () => dialogs.confirm({ title: t('Delete the rule?'), text: t('Tags stay until somebody deletes them.'), action: t('Delete'), submit: async () => (await call('DELETE', `${path}/${p.uuid}`), await refresh()) }) },
              ]}
            />
          ),
        },
      ]}
    />
  );
}

/** ImmutabilityPolicies are the rules by which tags become immutable. */
export function ImmutabilityPolicies({ place, may }: { place: string; may: boolean }) {
  const on = useBoot().features.IMMUTABLE_TAGS;
  const dialogs = useDialogs();
  const key = ['policies', place, 'immutability'];
  const refresh = useRefresh(key);
  if (!on) return null;
  const path = `${place}/immutabilitypolicy`;
  const edit = (p?: Immutability) =>
    dialogs.form({
      title: p ? t('Change the rule') : t('Add a rule'),
      fields: [{ name: 'pattern', label: t('Regular expression'), initial: p?.tagPattern ?? '', check: pattern, help: t('It is compared from the beginning of a tag. Such as {example} for releases', { example: 'v\\d+\\.\\d+\\.\\d+$' }) }, matchField(p?.tagPatternMatches)],
      action: t('Save'),
      submit: async (v) => {
        const body = { tagPattern: v.pattern, tagPatternMatches: v.matches !== 'false' };
        await (p ? call('PUT', `${path}/${p.uuid}`, body) : call('POST', path, body));
        await refresh();
      },
    });
  return (
    <ListSection
      title={t('Immutable tags')}
      text={t('Tags that a rule is about cannot be moved, deleted or given an expiry.')}
      tools={may && <Button variant="secondary" onClick={() => edit()}>{t('Add a rule')}</Button>}
      queryKey={key}
      get={async () => (await call<{ policies: Immutability[] }>('GET', path)).policies}
      rowKey={(p) => p.uuid}
      empty={{ title: t('No rule makes tags immutable'), text: t('A rule protects releases from being overwritten.') }}
      columns={[
        { key: 'of', title: t('Immutable'), cell: (p) => aboutTags(p) },
        may && {
          key: 'menu',
          title: '',
          narrow: true,
          cell: (p) => (
            <Menu
              label={t('Actions')}
              items={[
                { label: t('Edit'), onClick: () => edit(p) },
                { label: t('Delete'), danger: true, onClick: () => dialogs.confirm({ title: t('Delete the rule?'), text: t('Tags that are immutable already stay so.'), action: t('Delete'), submit: async () => (await call('DELETE', `${path}/${p.uuid}`), await refresh()) }) },
              ]}
            />
          ),
        },
      ]}
    />
  );
}
