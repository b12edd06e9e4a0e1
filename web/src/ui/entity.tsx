import { TextInput } from '@patternfly/react-core';
import { useQuery } from '@tanstack/react-query';
import { useDeferredValue, useState } from 'react';
import { api, ok } from '../api/client';
import { t } from '../i18n';
import { Face } from './bits';

export type Entity = { name: string; kind: 'user' | 'team'; robot: boolean };

/** parseEntity reads the value of an entity field: "team:ops", "robot:acme+ci" or "user:ada". */
export function parseEntity(v: string): Entity {
  const [kind, ...rest] = v.split(':');
  return { kind: kind === 'team' ? 'team' : 'user', robot: kind === 'robot', name: rest.length > 0 ? rest.join(':') : v };
}

const words = (kind: string) => (kind === 'team' ? t('Team') : kind === 'robot' ? t('Robot') : kind === 'org' ? t('Organization') : t('User'));

type Props = { id: string; value: string; onChange: (v: string) => void; namespace?: string; teams?: boolean; describedBy?: string };

/** EntityField finds a user, robot or team by the beginning of its name. */
export function EntityField({ id, value, onChange, namespace, teams, describedBy }: Props) {
  const [text, setText] = useState(value ? parseEntity(value).name : '');
  const [open, setOpen] = useState(false);
  const [at, setAt] = useState(0);
  const prefix = useDeferredValue(text.trim());
  const found = useQuery({
    queryKey: ['entities', prefix, namespace, teams],
    enabled: prefix.length > 0 && open,
    staleTime: 30_000,
    queryFn: async () => {
      const a = await ok(api.GET('/entities/{prefix}', { params: { path: { prefix }, query: { namespace, includeTeams: teams ?? false } } }));
      return a.results.filter((e) => e.kind !== 'external' && e.kind !== 'org').map((e) => ({ ...e, kind: e.is_robot ? 'robot' : e.kind }));
    },
  });
  const list = open && prefix ? (found.data ?? []) : [];
  const choose = (e: { name: string; kind: string }) => {
    setText(e.name);
    onChange(`${e.kind}:${e.name}`);
    setOpen(false);
  };
  return (
    <div className="g-entity">
      <TextInput
        id={id}
        name={id.split('-').pop()}
        role="combobox"
        aria-expanded={list.length > 0}
        aria-controls={`${id}-list`}
        aria-autocomplete="list"
        aria-activedescendant={list[at] ? `${id}-${at}` : undefined}
        aria-describedby={describedBy}
        value={text}
        autoComplete="off"
        placeholder={teams ? t('Name of a user, robot or team') : t('Name of a user or robot')}
        onChange={(_, v) => {
          setText(v);
          onChange(v ? `user:${v}` : '');
          setOpen(true);
          setAt(0);
        }}
        onBlur={() => setTimeout(() => setOpen(false), 150)}
        onKeyDown={(e) => {
          if (list.length === 0) return;
          if (e.key === 'ArrowDown') setAt((at + 1) % list.length);
          else if (e.key === 'ArrowUp') setAt((at - 1 + list.length) % list.length);
          else if (e.key === 'Enter') choose(list[at]!);
          else if (e.key === 'Escape') setOpen(false);
          else return;
          e.preventDefault();
          e.stopPropagation();
        }}
      />
      {list.length > 0 && (
        <ul className="g-options" role="listbox" id={`${id}-list`} aria-label={t('Found')}>
          {list.map((e, i) => (
            <li key={e.kind + e.name} id={`${id}-${i}`} role="option" aria-selected={i === at} onMouseDown={() => choose(e)} onMouseEnter={() => setAt(i)}>
              <Face name={e.name} color={e.avatar.color} /> {e.name} <span className="g-quiet">{words(e.kind)}</span>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}
