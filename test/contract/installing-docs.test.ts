import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Page } from '../support/markdown.ts';

/*
 * docs/installing.md: `sh` blocks are run; `console` blocks need a tool, a right or a machine that is not at hand, so
 * they are read and their tools listed here.
 */

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const TSX = import.meta.resolve('tsx');
const page = new Page('docs/installing.md');
const { scripts } = JSON.parse(await readFile(`${ROOT}package.json`, 'utf8')) as {
  scripts: Record<string, string>;
};

/** What no test runs. */
const TOOLS = [
  'sudo',
  'cat',
  'kong',
  'docker',
  'npm',
  'kubectl',
  'helm',
  'sh',
  'deck',
  'terraform',
  'sha256sum',
  'gh',
];

test('the commands that need nothing but the package do what the page says', async (context) => {
  const folder = await mkdtemp(join(tmpdir(), 'session-guard-installing-'));
  context.after(() => rm(folder, { recursive: true }));
  const bin = join(folder, 'session-guard/bin');
  await mkdir(bin, { recursive: true });
  const program = `#!/bin/sh\nexec "${process.execPath}" --import "${TSX}" "${ROOT}lib/cli.ts" "$@"\n`;
  await writeFile(join(bin, 'session-guard'), program, { mode: 0o755 });
  for (const line of page.lines('sh')) {
    // Those of npm have tests of their own: contract/executable and contract/packaging-npm.
    const [, script] = /^npm run (?:--silent )?(\w+)/.exec(line) ?? [];
    if (script !== undefined) assert.ok(scripts[script], script);
    else if (line !== 'npm ci')
      await promisify(execFile)('/bin/sh', ['-euc', line], { cwd: folder });
  }
  for (const file of ['schema.lua', 'secret.txt']) {
    assert.ok((await readFile(join(folder, file), 'utf8')).length > 40, file);
  }
});

test('the others use known tools and files that exist', () => {
  const lines = page.lines('console').filter((line) => line.startsWith('$ '));
  assert.ok(lines.length > 15);
  for (const line of lines) {
    const words = line
      .slice(2)
      .replace(/^[A-Z_]+=\S+ /, '')
      .split(' ');
    assert.ok(TOOLS.includes(words[0] ?? ''), line);
    for (const word of words.filter((own) => /^(deploy|examples)\/|^--chdir=/.test(own))) {
      assert.ok(existsSync(`${ROOT}${word}`), word);
    }
  }
  for (const tool of TOOLS) {
    assert.ok(
      lines.some((line) => new RegExp(`[$ ]${tool} `).test(line)),
      `${tool} is not used any more`,
    );
  }
});
