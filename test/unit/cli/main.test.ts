import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { estimateBits } from '../../../lib/cli/secret.ts';
import { VERSION } from '../../../lib/schema.ts';
import { secretProblem } from '../../../lib/secret.ts';
import { run } from './run.ts';

const COMMANDS = [
  'portal-conf',
  'secret',
  'migrate',
  'list',
  'audit',
  'show',
  'revoke',
  'prune',
  'stats',
  'inspect',
  'doctor',
  'schema',
];

test('help for all commands and for each', async () => {
  const { code, stdout } = await run(['--help']);
  assert.equal(code, 0);
  for (const name of COMMANDS) {
    assert.match(stdout, new RegExp(`^  ${name} `, 'm'));
    for (const argv of [
      [name, '--help'],
      ['help', name],
    ]) {
      const help = await run(argv);
      assert.equal(help.code, 0, argv.join(' '));
      assert.ok(help.stdout.startsWith(`session-guard ${name}`), argv.join(' '));
      assert.match(help.stdout, /--json/);
      for (const line of help.stdout.split('\n')) assert.ok(line.length <= 120, line);
    }
  }
  assert.equal((await run(['--version'])).stdout, `${VERSION}\n`);
});

test('wrong use is one line on stderr, exit code 2, and repeats no word that may be a secret', async () => {
  const cases: readonly (readonly string[])[] = [
    [],
    ['hunter2'],
    ['stats', 'hunter2'],
    ['show', 'hunter2', 'hunter2'],
    ['stats', '--hunter', 'hunter2'],
    ['stats', '--json=hunter2'],
    ['list', '--limit', 'hunter2'],
    ['list', '--limit', '0'],
    ['list', '--limit', '-1'],
    ['list', '--limit'],
    ['secret'],
    ['secret', 'hunter2'],
    ['secret', 'generate', '--bytes', '31'],
    ['secret', 'check', 'hunter2'],
    ['portal-conf', '--output', 'hunter2'],
  ];
  for (const argv of cases) {
    const { code, stdout, stderr } = await run(argv);
    assert.equal(code, 2, argv.join(' '));
    assert.equal(stdout, '');
    assert.match(stderr, /^session-guard: [^\n]+\n$/);
    assert.doesNotMatch(stderr, /hunter2/);
  }
});

test('a generated secret passes the check', async () => {
  const { code, stdout } = await run(['secret', 'generate']);
  assert.equal(code, 0);
  assert.equal(Buffer.from(stdout, 'base64').length, 32);
  assert.equal((await run(['secret', 'check'], { stdin: stdout })).code, 0);
  const long = await run(['secret', 'generate', '--bytes', '64', '--json']);
  const { secret, bytes } = JSON.parse(long.stdout) as { secret: string; bytes: number };
  assert.equal(bytes, 64);
  assert.equal(Buffer.from(secret, 'base64').length, 64);
});

test('the check says what session-guard would say, and never the secret', async (context) => {
  const folder = await mkdtemp(join(tmpdir(), 'session-guard-cli-'));
  context.after(() => rm(folder, { recursive: true }));
  const file = join(folder, 'secret');
  const secrets = [
    'super-secret',
    'change-this-secretchange-this-secret',
    'short',
    'aaaabbbbccccdddd'.repeat(3),
    'correct horse battery staple, and then some more',
    randomBytes(32).toString('hex'),
  ];
  for (const secret of secrets) {
    await writeFile(file, `${secret}\n`);
    const ways = [
      await run(['secret', 'check', '--json'], { stdin: `${secret}\r\n` }),
      await run(['secret', 'check', '--json', '--secret-file', file]),
      await run(['secret', 'check', '--json'], { env: { SESSION_GUARD_SECRET: secret } }),
    ];
    const problem = secretProblem(secret);
    for (const { code, stdout, stderr } of ways) {
      const report = JSON.parse(stdout) as Record<string, unknown>;
      assert.equal(code, problem === undefined ? 0 : 3);
      assert.equal(report['accepted'], problem === undefined);
      assert.equal(report['length'], secret.length);
      assert.equal(report['distinct_characters'], new Set(secret).size);
      assert.equal(report['problem'], problem === undefined ? undefined : `the secret ${problem}`);
      assert.ok(!(stdout + stderr).includes(secret));
    }
  }
});

test('the estimate tells repetition from chance', () => {
  assert.equal(estimateBits(''), 0);
  assert.equal(estimateBits('a'.repeat(100)), 0);
  assert.ok(estimateBits('abcdefgh'.repeat(20)) < 120);
  const random = estimateBits(randomBytes(32).toString('base64'));
  assert.ok(random > 170 && random <= 264, String(random));
});

test('colours on a terminal only, and not against NO_COLOR', async () => {
  const options = { stdin: '{}', isTerminal: true };
  const escape = '\x1b[';
  assert.ok((await run(['portal-conf'], options)).stdout.includes(escape));
  for (const env of [{ NO_COLOR: '1' }, { TERM: 'dumb' }]) {
    assert.ok(!(await run(['portal-conf'], { ...options, env })).stdout.includes(escape));
  }
  assert.ok(!(await run(['portal-conf'], { stdin: '{}' })).stdout.includes(escape));
});
