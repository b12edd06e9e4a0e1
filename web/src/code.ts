/** code fetches the code of pages; the browser keeps what it has. */
export const code = {
  compare: () => import('./pages/compare'),
  guide: () => import('./pages/guide'),
  inbox: () => import('./pages/inbox'),
  organization: () => import('./pages/organization'),
  organizations: () => import('./pages/organizations'),
  overview: () => import('./pages/overview'),
  repositories: () => import('./pages/repositories'),
  repository: () => import('./pages/repository'),
  search: () => import('./pages/search'),
  superuser: () => import('./pages/superuser'),
  tag: () => import('./pages/tag'),
  tags: () => import('./pages/repo-tags'),
  team: () => import('./pages/team'),
  user: () => import('./pages/user'),
  welcome: () => import('./pages/welcome'),
};

/** codeOf is what the page at a path and a tab begins with; what else it needs it fetches itself. */
export function codeOf(path: string, tab: string | null): (keyof typeof code)[] {
  const [first = '', second, third, fourth] = path.split('/').filter(Boolean);
  switch (first) {
    case '':
      return ['overview'];
    case 'signin':
    case 'createaccount':
    case 'forgot':
      return ['welcome'];
    case 'repository':
      if (!second) return ['repository', 'repositories'];
      return third && !fourth && (tab ?? 'tags') === 'tags' ? ['repository', 'tags'] : ['repository'];
    case 'organization':
      return [!second ? 'organizations' : third === 'teams' ? 'team' : 'organization'];
    case 'guide':
    case 'inbox':
    case 'search':
    case 'superuser':
    case 'user':
      return [first];
  }
  return [];
}
