import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Page } from '../support/markdown.ts';

/* CONTRIBUTING.md: what it tells people to open and to write in is there. Its commands: contract/docs-commands. */

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const page = new Page('CONTRIBUTING.md');
const tests = readdirSync(`${ROOT}test`, { recursive: true, encoding: 'utf8' }).filter((name) =>
  name.endsWith('.test.ts'),
);

test('the files and folders it names are there', () => {
  const paths = [...page.text.matchAll(/`((?:lib|test|docs|plugins|monitoring)\/[\w./-]*)`/g)];
  assert.ok(paths.length > 20);
  for (const [, path] of paths) assert.ok(existsSync(`${ROOT}${path}`), path);
  const named = [...page.text.matchAll(/`((?:contract|e2e)\/[\w-]+)`/g)];
  for (const [, name] of named) assert.ok(tests.includes(`${name}.test.ts`), name);
});

test('it can be read in a few minutes', () => {
  assert.ok(page.text.split('\n').length <= 120);
});
