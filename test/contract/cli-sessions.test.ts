import assert from 'node:assert/strict';
import { createHash, randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { run } from '../unit/cli/run.ts';
import { cli } from './cli-process.ts';
import { Scene, SECRET, signIn } from './cli-scene.ts';

/* `session-guard list`, `show`, `prune` and `stats`. */

const scene = new Scene();
const toBytes = (text: string): string => Buffer.from(text).toString('latin1');

test('what is alive, by consumer and by subject', async (context) => {
  const node = await scene.node(context);
  const consumerId = randomUUID();
  const hash = createHash('sha256').update('zoë').digest().subarray(0, 16).toString('base64url');
  const first = await signIn(node, { consumerId, subject: toBytes('zoë') });
  const second = await signIn(node, { consumerId, audience: 'shop', subject: hash });
  const third = await signIn(node, { kind: 'remember' });
  await node.storage.end(await signIn(node));
  await scene.expire(await signIn(node));
  await scene.cutOff(await signIn(node));

  const handlesOf = async (...argv: string[]) => {
    const { sessions } = await scene.json(['list', ...argv]);
    return (sessions as { handle: string }[]).map(({ handle }) => handle);
  };
  assert.deepEqual(await handlesOf(), [third.handle, second.handle, first.handle]);
  assert.deepEqual(await handlesOf('--consumer', consumerId), [second.handle, first.handle]);
  assert.deepEqual(await handlesOf('--subject', 'zoë'), [second.handle, first.handle]);
  assert.deepEqual(await handlesOf('--limit', '1'), [third.handle]);
  assert.equal((await scene.json(['list', '--limit', '1']))['has_more'], true);
  const none = await scene.json(['list', '--consumer', 'nobody'], 3);
  assert.deepEqual(none, { sessions: [], has_more: false });

  const { stdout } = await cli(['list'], { env: scene.env });
  const [head, ...lines] = stdout.trimEnd().split('\n');
  assert.match(
    head ?? '',
    /^HANDLE +CONSUMER +AUDIENCE +KIND +SIGNED IN +LAST SEEN +EXPIRES +SUBJECT$/,
  );
  assert.equal(lines.length, 3);
  assert.ok(lines[0]?.startsWith(`${third.handle}  ${third.consumerId}  default   remember  `));
  for (const { key } of [first, second, third]) assert.ok(!stdout.includes(key));
});

test('with the secret also who it is, without it nothing', async (context) => {
  const node = await scene.node(context);
  const data = { username: 'zo\xc3\xab\x1b[31m', groups: ['staff'], ip: '10.0.0.1' };
  const session = await signIn(node, { data, credentialId: randomUUID() });
  const folder = await mkdtemp(join(tmpdir(), 'session-guard-cli-'));
  context.after(() => rm(folder, { recursive: true }));
  const file = join(folder, 'secret');
  await writeFile(file, `${SECRET}\n`);
  const show = ['show', session.handle];

  const shown = await scene.json([...show, '--secret-file', file]);
  assert.equal(shown['username'], 'zoë\x1b[31m');
  assert.deepEqual(shown['groups'], ['staff']);
  assert.equal(shown['credential_id'], session.credentialId);
  assert.equal(shown['state'], 'alive');
  assert.equal(shown['generation'], 0);
  assert.equal((await scene.json(show))['username'], undefined);

  const wrong = await cli(show, { env: { ...scene.env, SESSION_GUARD_SECRET: 'another secret' } });
  assert.equal(wrong.code, 0);
  assert.doesNotMatch(wrong.stdout + wrong.stderr, /zo|another secret|10\.0\.0\.1/);

  const env = { ...scene.env, SESSION_GUARD_SECRET: SECRET };
  const { stdout } = await run(show, { env });
  assert.match(stdout, /^user name: +zoë\\x1b\[31m$/m);
  assert.ok(!stdout.includes(session.key) && !stdout.includes(SECRET));
  const listed = await run(['list'], { env });
  assert.match(listed.stdout, /USER +IP\n.*zoë\\x1b\[31m +10\.0\.0\.1\n$/);

  const realm = 'remember session kong session_guard';
  const beside = await signIn(node, { data, kind: 'remember', realm });
  const persistent = await scene.json(['show', beside.handle, '--secret-file', file]);
  assert.equal(persistent['username'], 'zoë\x1b[31m', 'of a persistent cookie too');
});

test('what is dead but not pruned can be shown', async (context) => {
  const node = await scene.node(context);
  const [expired, revoked] = [await signIn(node), await signIn(node)];
  await scene.expire(expired);
  await scene.cutOff(revoked);
  assert.equal((await scene.json(['show', expired.handle]))['state'], 'expired');
  assert.equal((await scene.json(['show', revoked.handle]))['state'], 'revoked');
  assert.deepEqual(await scene.run(['show', randomUUID()]), {
    code: 3,
    stdout: '',
    stderr: 'session-guard: show: no session has this handle\n',
  });
  assert.equal((await scene.run(['show'])).code, 2);
  assert.equal((await scene.run(['show', 'x'])).code, 2);
});

test('pruning takes the expired and leaves the living', async (context) => {
  const node = await scene.node(context);
  const living = await signIn(node);
  for (let count = 0; count < 3; count++) await scene.expire(await signIn(node));
  assert.deepEqual(await scene.json(['prune', '--dry-run']), { expired: 3, dry_run: true });
  assert.equal((await scene.handles()).length, 4);
  const { code, stdout } = await cli(['prune'], { env: scene.env });
  assert.equal(code, 0);
  assert.equal(stdout, '3 expired sessions deleted\n');
  assert.deepEqual(await scene.handles(), [living.handle]);
  assert.deepEqual(await scene.json(['prune']), { pruned: 0, expired: 0, dry_run: false });
});

test('numbers', async (context) => {
  const node = await scene.node(context);
  const family = randomUUID();
  const { consumerId } = await signIn(node, { family, audience: 'shop' });
  await signIn(node, { family, kind: 'remember', consumerId, audience: 'shop' });
  await signIn(node);
  await scene.expire(await signIn(node));
  await scene.cutOff(await signIn(node));
  const { bytes, oldest, ...stats } = await scene.json(['stats']);
  assert.deepEqual(stats, {
    sign_ins: 2,
    remembered: 1,
    consumers: 2,
    seen_last_hour: 2,
    seen_last_day: 2,
    expired: 1,
    revoked: 1,
    cutoffs: 1,
    audiences: [
      { audience: 'default', sign_ins: 1 },
      { audience: 'shop', sign_ins: 1 },
    ],
  });
  assert.ok(Number(bytes) > 0);
  assert.match(String(oldest), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  assert.match((await scene.run(['stats'])).stdout, /^sign-ins alive: +2\n/);
});
