import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { until, untilTrusted } from '../support/nodes.ts';
import { cli } from './cli-process.ts';
import { Scene, signIn } from './cli-scene.ts';

/* `session-guard revoke`, beside a node that has the sessions in its cache: only a notice can take them out. */

const scene = new Scene();

/** Two sign-ins of alice, one of bob with the same credential. */
async function threeSignIns(context: TestContext) {
  const node = await scene.node(context);
  await untilTrusted(node);
  await scene.rows('delete from session_guard.sessions');
  const [alice, bob] = [randomUUID(), randomUUID()];
  const [key, password] = [randomUUID(), randomUUID()];
  const sessions = {
    a1: await signIn(node, { consumerId: alice, credentialId: key }),
    a2: await signIn(node, { consumerId: alice, credentialId: password }),
    b: await signIn(node, { consumerId: bob, credentialId: key }),
  };
  /** Waits until the node accepts these, and these alone, without asking the database. */
  const untilAccepted = (expected: string) =>
    until(() => {
      const accepted = Object.entries(sessions).filter(([, session]) => node.storage.peek(session));
      return accepted.map(([name]) => name).join() === expected;
    });
  await untilAccepted('a1,a2,b');
  return { ...sessions, alice, key, untilAccepted };
}

test('one sign-in, by a process of its own, and nodes hear of it', async (context) => {
  const { a1, untilAccepted } = await threeSignIns(context);
  const { env } = scene;
  const refused = await cli(['revoke', a1.handle], { env });
  assert.equal(refused.code, 2);
  assert.match(refused.stderr, /--yes goes ahead, --dry-run only counts\n$/);
  assert.equal((await scene.handles()).length, 3);
  const { code, stdout } = await cli(['revoke', a1.handle, '--yes'], { env });
  assert.equal(code, 0);
  assert.equal(stdout, `1 sign-in with the handle ${a1.handle} ended\n`);
  await untilAccepted('a2,b');
  const again = await scene.run(['revoke', a1.handle, '--yes']);
  assert.equal(again.code, 3);
  assert.match(again.stderr, /no such living sign-in/);
});

test('all others of the same consumer', async (context) => {
  const { a1, untilAccepted } = await threeSignIns(context);
  const argv = ['revoke', '--others-of', a1.handle, '--yes'];
  const report = await scene.json(argv);
  assert.deepEqual(report, { selection: 'others', sign_ins: 1, dry_run: false });
  await untilAccepted('a1,b');
  assert.equal((await scene.run(argv)).code, 3);
});

test('those of a credential of a consumer, of a consumer, of everybody', async (context) => {
  const { alice, key, untilAccepted } = await threeSignIns(context);
  const ended = async (...argv: string[]) =>
    (await scene.json(['revoke', ...argv, '--yes']))['sign_ins'];
  assert.equal(await ended('--consumer', alice, '--credential', key), 1);
  await untilAccepted('a2'); // a cut-off is the credential's, whoever signed in with it
  assert.equal(await ended('--consumer', alice), 1);
  await untilAccepted('');
  assert.equal(await ended('--all'), 0);
  const cutOffs = await scene.rows('select kind from session_guard.cutoffs order by kind');
  assert.deepEqual(cutOffs, [{ kind: 'all' }, { kind: 'consumer' }, { kind: 'credential' }]);
});

test('what was authenticated at a moment or before it', async (context) => {
  const { a1, a2, b } = await threeSignIns(context);
  await scene.rows(
    `update session_guard.sessions set authenticated_at = now() - interval '2 hours' where handle = $1`,
    [a1.handle],
  );
  const moment = new Date(a2.authenticatedAt - 3600_000).toISOString();
  assert.equal((await scene.json(['revoke', '--before', moment, '--yes']))['sign_ins'], 1);
  assert.deepEqual(await scene.handles(), [a2.handle, b.handle]);
});

test('a family that lives in cookies alone', async (context) => {
  await scene.node(context);
  const family = randomUUID();
  assert.equal((await scene.json(['revoke', '--family', family, '--yes']))['sign_ins'], 0);
  const cutOffs = await scene.rows('select kind, target from session_guard.cutoffs');
  assert.deepEqual(cutOffs, [{ kind: 'family', target: family }]);
});

test('a dry run counts and changes nothing', async (context) => {
  const { alice, untilAccepted } = await threeSignIns(context);
  const report = await scene.json(['revoke', '--consumer', alice, '--dry-run']);
  assert.deepEqual(report, { selection: 'consumer', sign_ins: 2, dry_run: true });
  assert.equal((await scene.json(['revoke', '--consumer', 'x', '--dry-run'], 3))['sign_ins'], 0);
  assert.equal((await scene.handles()).length, 3);
  assert.deepEqual(await scene.rows('select from session_guard.cutoffs'), []);
  await untilAccepted('a1,a2,b');
});

test('at a terminal it asks', async (context) => {
  const { a1, a2 } = await threeSignIns(context);
  const no = await scene.run(['revoke', a1.handle], 'n\n');
  assert.equal(no.code, 1);
  assert.match(no.stderr, /This ends 1 sign-in .*, on every node\. Go ahead\? \[y\/N\]/);
  assert.match(no.stderr, /nothing was changed/);
  assert.equal((await scene.run(['revoke', a1.handle], '')).code, 1);
  assert.equal((await scene.handles()).length, 3);
  assert.equal((await scene.run(['revoke', a1.handle], 'y\n')).code, 0);
  assert.equal((await scene.run(['revoke', a2.handle], 'YES\n')).code, 0);
  assert.equal((await scene.handles()).length, 1);
});

test('exactly one selection, and one that makes sense', async () => {
  const cases: readonly (readonly [string[], RegExp])[] = [
    [[], /needs exactly one of/],
    [['--all', '--consumer', 'x'], /needs exactly one of/],
    [[randomUUID(), '--all'], /needs exactly one of/],
    [['--credential', 'x'], /needs exactly one of/],
    [['--credential', 'x', '--all'], /--credential needs --consumer/],
    [['--consumer', ''], /--consumer must not be empty/],
    [['--consumer', 'x', '--credential', ''], /--credential must not be empty/],
    [['hunter2'], /the handle must be a UUID/],
    [['--others-of', 'hunter2'], /--others-of must be a UUID/],
    [['--family', 'hunter2'], /--family must be a UUID/],
    [['--before', '2026-01-01'], /--before must look like/],
    [['--before', '2026-01-01T00:00:00'], /--before must look like/],
    [['--before', '2026-13-01T00:00:00Z'], /--before must look like/],
    [['--before', '2999-01-01T00:00:00Z'], /--before lies in the future/],
  ];
  for (const [argv, message] of cases) {
    const { code, stderr, stdout } = await scene.run(['revoke', ...argv, '--yes']);
    assert.equal(code, 2, argv.join(' '));
    assert.match(stderr, message);
    assert.doesNotMatch(stderr + stdout, /hunter2/);
  }
});
