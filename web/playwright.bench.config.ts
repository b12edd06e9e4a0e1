import base from './playwright.config';

// Measures times and writes docs/benchmarks-web.md: npm run bench.
export default { ...base, testDir: 'bench', workers: 1, timeout: 900_000 };
