import { promisify } from 'node:util';
import { readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import zlib from 'node:zlib';
import react from '@vitejs/plugin-react';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

const out = 'dist/site';

// compressed leaves of each file its brotli and gzip forms: the binary serves
// them as they are, and unpacks gzip for the rare client that takes neither.
function compressed(): Plugin {
  const gzip = promisify(zlib.gzip);
  const brotli = promisify(zlib.brotliCompress);
  return {
    name: 'compressed',
    apply: 'build',
    async closeBundle() {
      for (const name of await readdir(out, { recursive: true })) {
        if (!/\.(js|css|svg)$/.test(name)) continue;
        const path = join(out, name);
        const body = await readFile(path);
        await writeFile(`${path}.gz`, await gzip(body, { level: 9 }));
        await writeFile(`${path}.br`, await brotli(body, { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 11 } }));
        await rm(path);
      }
    },
  };
}

export default defineConfig({
  plugins: [react(), compressed()],
  build: {
    outDir: out,
    emptyOutDir: true,
    assetsInlineLimit: 0, // the Content-Security-Policy lets no data: scripts or fonts in
    chunkSizeWarningLimit: 1000,
    rollupOptions: { input: ['index.html', 'editor.html'] }, // the console, and the configuration editor
  },
  server: { proxy: { '^/(api|config|csrf_token|v2|realtime|oauth2?|keys)(/|$)': process.env.GANTRY_URL ?? 'http://localhost:8080' } },
  test: {
    include: ['src/**/*.test.{ts,tsx}'],
    server: { deps: { inline: [/@patternfly/] } },
    // Node would take PatternFly's CommonJS, whose style sheets it cannot read.
    alias: [
      { find: /^@patternfly\/react-core$/, replacement: '@patternfly/react-core/dist/esm/index.js' },
      { find: /^(@patternfly\/react-styles\/css\/[^.]+)$/, replacement: '$1.mjs' },
    ],
  },
});
