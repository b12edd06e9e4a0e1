import base from './playwright.config';
export default { ...base, testDir: 'prof', workers: 1, timeout: 900_000 };
