import assert from 'node:assert/strict';
import { test } from 'node:test';
import { run } from '../unit/cli/run.ts';
import { cli } from './cli-process.ts';
import { Scene } from './cli-scene.ts';

/* `session-guard migrate`, and how every command finds its database or says what is wrong with it. */

const scene = new Scene();
const PASSWORD = 'hunter2-in-a-url';

test('migrate plans, creates, and finds nothing more to do', async () => {
  const { env } = scene;
  const plan = await cli(['migrate', '--plan'], { env });
  assert.equal(plan.code, 0, plan.stderr);
  assert.match(plan.stdout, /^-- migration 1 of schema session_guard\n/);
  assert.match(plan.stdout, /create table "session_guard"\.sessions/);
  const [before] = await scene.rows<{ t: unknown }>(
    `select to_regclass('session_guard.sessions') as t`,
  );
  assert.equal(before?.t, null);

  const first = await cli(['migrate', '--json'], { env });
  assert.equal(first.code, 0, first.stderr);
  const { applied } = JSON.parse(first.stdout) as { applied: number[] };
  assert.equal(applied[0], 1);
  const schema = 'session_guard';
  assert.deepEqual(await scene.json(['migrate']), { schema, applied: [] });
  assert.deepEqual(await scene.json(['migrate', '--plan']), { schema, pending: [] });
  assert.match((await scene.run(['migrate'])).stdout, /up to date/);
});

test('migrate makes the tables in another schema', async () => {
  const { applied } = await scene.json(['migrate', '--schema', 'other']);
  assert.ok(Array.isArray(applied) && applied.length > 0);
  const sessions = await scene.json(['list', '--schema', 'other'], 3);
  assert.deepEqual(sessions, { sessions: [], has_more: false });
  const { code, stderr } = await scene.run(['list']);
  assert.equal(code, 1);
  assert.match(stderr, /schema session_guard lacks tables .*"session-guard migrate"/);
});

test('a database that does not do its work is told in one line, without its password', async () => {
  const { port } = new URL(scene.url);
  const cases: readonly (readonly [string, number, RegExp])[] = [
    [`postgres://u:${PASSWORD}@127.0.0.1:1/x`, 1, /nothing listens .*\(ECONNREFUSED\)/],
    [`postgres://u:${PASSWORD}@127.0.0.1:${port}/x`, 1, /wrong user or password|refuses this user/],
    [new URL('/no_such', scene.url).href, 1, /no such database \(3D000\)/],
    [`mysql://u:${PASSWORD}@h/x`, 2, /must be a URL like postgres:/],
    [`postgres://u:${PASSWORD}@[/x`, 2, /must be a URL like postgres:/],
    [PASSWORD, 2, /must be a URL like postgres:/],
    [`postgres://u:${PASSWORD}#@h/x`, 2, /percent-encoded/],
    [`postgres://u:${PASSWORD}@h:99999/x`, 2, /must be a URL like postgres:/],
  ];
  for (const [database, code, message] of cases) {
    for (const argv of [['stats'], ['migrate'], ['revoke', '--all', '--yes']]) {
      const outcome = await run(argv, { env: { DATABASE_URL: database } });
      assert.equal(outcome.code, code, outcome.stderr);
      assert.match(outcome.stderr, message);
      assert.equal(outcome.stderr.trimEnd().split('\n').length, 1);
      assert.ok(!outcome.stderr.includes(PASSWORD));
    }
  }
});

test('a database has to be named, and its schema be one', async () => {
  const none = await run(['stats']);
  assert.equal(none.code, 2);
  assert.match(none.stderr, /--database-url or SESSION_GUARD_DATABASE_URL/);
  const schema = await scene.run(['stats', '--schema', 'x"; drop table y']);
  assert.equal(schema.code, 2);
  assert.match(schema.stderr, /--schema must be/);
});

test('the option comes before the variables, and ours before the common one', async () => {
  await scene.run(['migrate']);
  const { url } = scene;
  const wrong = 'postgres://u@127.0.0.1:1/x';
  const ways = [
    { argv: ['--database-url', url], env: { SESSION_GUARD_DATABASE_URL: wrong } },
    { argv: [], env: { SESSION_GUARD_DATABASE_URL: url, DATABASE_URL: wrong } },
    { argv: [], env: { SESSION_GUARD_DATABASE_URL: '', DATABASE_URL: url } },
  ];
  for (const { argv, env } of ways) {
    const { code, stderr } = await run(['stats', ...argv], { env });
    assert.equal(code, 0, stderr);
  }
});
