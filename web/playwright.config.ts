import { defineConfig } from '@playwright/test';

// The tests start their own registries (e2e/registry.ts), on free ports.
export default defineConfig({
  testDir: 'e2e',
  fullyParallel: true,
  workers: 2,
  timeout: 180_000, // a machine may be busy: nothing here is measured in time
  expect: { timeout: 30_000 },
  reporter: [['list']],
  outputDir: '../build/web-e2e',
  use: {
    launchOptions: { executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-dev-shm-usage'] },
    viewport: { width: 1280, height: 860 },
    locale: 'en-US',
    timezoneId: 'Asia/Seoul',
    contextOptions: { reducedMotion: 'reduce' },
    screenshot: 'only-on-failure',
  },
});
