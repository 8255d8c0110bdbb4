import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

test("the README's table is that of the fields", () => {
  const script = fileURLToPath(new URL('../../scripts/docs.ts', import.meta.url));
  const { status, stderr } = spawnSync(process.execPath, ['--import', 'tsx', script, '--check']);
  assert.equal(status, 0, stderr.toString());
});

test('every test that the README names exists', () => {
  const root = new URL('../../', import.meta.url);
  const readme = readFileSync(new URL('README.md', root), 'utf8');
  const names = [...readme.matchAll(/`((?:e2e|contract|unit)\/[\w-]+)`/g)].map(([, name]) => name);
  assert.ok(names.length > 20);
  const missing = names.filter((name) => !existsSync(new URL(`test/${name}.test.ts`, root)));
  assert.deepEqual(missing, []);
});
