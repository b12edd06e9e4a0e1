import { Title } from '@patternfly/react-core';
import { useSearch } from '@tanstack/react-router';
import { t } from '../i18n';
import { useGo, useTitle, withSearch } from '../ui/link';
import { RepositoryList } from './repositories';

/** Search lists all repositories with a word that begins like the query. */
export function Search() {
  const { q = '' } = useSearch({ strict: false });
  const go = useGo();
  useTitle(t('Search'));
  return (
    <>
      <div className="g-head">
        <Title headingLevel="h1">{t('Search')}</Title>
      </div>
      <RepositoryList q={q} onQuery={(x) => go(withSearch('/search', { q: x }), true)} />
    </>
  );
}
