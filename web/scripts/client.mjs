// Writes src/api/schema.d.ts from the OpenAPI document of a running registry:
//   node scripts/client.mjs http://localhost:8080
import { writeFile } from 'node:fs/promises';
import openapiTS, { astToString } from 'openapi-typescript';

/** schemaOf is the text of src/api/schema.d.ts for the registry at a base URL. */
export async function schemaOf(base) {
  const res = await fetch(`${base}/api/v1/openapi.json`);
  if (!res.ok) throw new Error(`${base}/api/v1/openapi.json: ${res.status}`);
  return '// Made by scripts/client.mjs from /api/v1/openapi.json; do not edit.\n' + astToString(await openapiTS(await res.json()));
}

if (process.argv[1]?.endsWith('client.mjs')) {
  await writeFile(new URL('../src/api/schema.d.ts', import.meta.url), await schemaOf(process.argv[2] ?? 'http://localhost:8080'));
}
