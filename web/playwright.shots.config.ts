import base from './playwright.config';

// Takes the pictures of docs/web: npm run shots.
export default { ...base, testDir: 'shots', workers: 1 };
