import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Page } from '../support/markdown.ts';

/* CONTRIBUTING.md: what it tells people to run, to open and to write in is there. The commands are those of CI. */

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const page = new Page('CONTRIBUTING.md');
const { scripts } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8')) as {
  scripts: Record<string, string>;
};
const tests = readdirSync(`${ROOT}test`, { recursive: true, encoding: 'utf8' }).filter((name) =>
  name.endsWith('.test.ts'),
);

/** What `npm test -- …` would find nothing for. */
function missing(args: readonly string[]): string[] {
  const at = args.indexOf('--name');
  const parts = at === -1 ? args : args.slice(0, at);
  const files = (part: string) => tests.filter((name) => name.includes(part));
  const pattern = at === -1 ? '' : (args[at + 1] ?? '');
  return parts.filter(
    (part) =>
      !files(part).some((name) => readFileSync(`${ROOT}test/${name}`, 'utf8').includes(pattern)),
  );
}

test('its commands are scripts of the package, and their arguments name tests', () => {
  const commands = [...page.lines('sh'), ...page.text.matchAll(/`(npm (?:run )?[\w:]+)`/g)].map(
    (match) => (typeof match === 'string' ? match : (match[1] ?? '')),
  );
  assert.ok(commands.length > 15);
  for (const command of commands) {
    if (command === 'npm ci') continue;
    const [, name = '', rest = ''] = /^npm (?:run )?([\w:]+)(?: -- (.*))?$/.exec(command) ?? [];
    assert.ok(scripts[name], command);
    if (name === 'test' && rest !== '') assert.deepEqual(missing(rest.split(' ')), [], command);
  }
});

test('what needs a real Kong or publishes is read: its tools and scripts are known', () => {
  const lines = page.lines('console');
  assert.ok(lines.length > 3);
  for (const line of lines) {
    const [tool, verb, name] = line.replace(/^\$ ((?:KONG_\w+=\S+ )*)/, '').split(' ');
    if (tool === 'git') assert.ok(['commit', 'tag', 'push'].includes(verb ?? ''), line);
    else if (verb === 'run') assert.ok(scripts[name ?? ''], line);
    else assert.deepEqual([tool, verb], ['npm', 'version'], line);
  }
});

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
