import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { program as mutants } from '../verify/mutants.ts';

test("the README's table, the examples and every version are those of the code", () => {
  const script = fileURLToPath(new URL('../../scripts/docs.ts', import.meta.url));
  const { status, stderr } = spawnSync(process.execPath, ['--import', 'tsx', script, '--check']);
  assert.equal(status, 0, stderr.toString());
});

test('every test that the table of defects names exists', () => {
  const root = new URL('../../', import.meta.url);
  const page = readFileSync(new URL('docs/migrating.md', root), 'utf8');
  const names = [...page.matchAll(/`((?:e2e|contract|unit)\/[\w-]+)`/g)].map(([, name]) => name);
  assert.ok(names.length > 20);
  const missing = names.filter((name) => !existsSync(new URL(`test/${name}.test.ts`, root)));
  assert.deepEqual(missing, []);
});

const ROOT = new URL('../../', import.meta.url);
const pages = [
  'README.md',
  'CHANGELOG.md',
  'SECURITY.md',
  'CONTRIBUTING.md',
  'bench/README.md',
  'test/e2e/README.md',
  'test/traces/README.md',
]
  .concat(readdirSync(new URL('docs', ROOT)).map((name) => `docs/${name}`))
  .filter((name) => name.endsWith('.md'));
const textOf = (page: string): string => readFileSync(new URL(page, ROOT), 'utf8');

/** The anchors of a page, as GitHub makes them of its headings. */
const anchorsOf = (page: string): string[] =>
  [...textOf(page).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );

test('every link of the documentation leads somewhere', () => {
  const links = pages.flatMap((page) =>
    [...textOf(page).matchAll(/\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)/g)].map(
      ([, path = '', anchor]) => ({ page, path, anchor }),
    ),
  );
  assert.ok(links.length > 50);
  const lost = links.filter(({ page, path, anchor }) => {
    const target = path === '' ? new URL(page, ROOT) : new URL(path, new URL(page, ROOT));
    if (!existsSync(target)) return true;
    const name = target.href.slice(ROOT.href.length);
    return anchor !== undefined && !anchorsOf(name).includes(anchor);
  });
  assert.deepEqual(lost, []);
});

test('every npm script that the documentation names exists', () => {
  const { scripts } = JSON.parse(textOf('package.json')) as { scripts: Record<string, string> };
  const names = pages.flatMap((page) =>
    [...textOf(page).matchAll(/\bnpm run (?:--silent )?([a-z][\w:-]*\w)/g)].map(
      ([, name = '']) => name,
    ),
  );
  assert.ok(names.length > 20);
  assert.deepEqual(
    names.filter((name) => !(name in scripts)),
    [],
  );
});

test('the README names the files that the mutants are made of', () => {
  const [, names = ''] = /security core \(`lib\/\{(.*)\}\.ts`\)/.exec(textOf('README.md')) ?? [];
  assert.deepEqual(
    names.split(',').map((name) => `lib/${name}.ts`),
    mutants.parts,
  );
});

test('comments name pages that a reader of the repository has', () => {
  const sources = ['lib', 'test', 'bench', 'scripts', 'plugins'].flatMap((folder) =>
    readdirSync(new URL(folder, ROOT), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => `${folder}/${name}`),
  );
  const lost = sources.flatMap((source) => {
    const comments = textOf(source).match(/^\s*(?:\/\*\*?|\*|\/\/) .*/gm) ?? [];
    const named = comments.join('\n').match(/(?<![\w./-])[\w./-]+\.md\b/g) ?? [];
    const places = (page: string) => [page, `docs/${page}`];
    return named
      .filter((page) => !page.startsWith('github.com/'))
      .filter((page) => !places(page).some((place) => existsSync(new URL(place, ROOT))))
      .map((page) => `${source}: ${page}`);
  });
  assert.deepEqual(lost, []);
});

test('the README stays short enough to be read', () => {
  assert.ok(textOf('README.md').split('\n').length < 600);
});
