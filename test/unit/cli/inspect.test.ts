import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { KeyRing } from '../../../lib/keys.ts';
import type { Purpose } from '../../../lib/keys.ts';
import { TokenCodec } from '../../../lib/token.ts';
import type { Entry } from '../../../lib/token.ts';
import { run } from './run.ts';

const SECRET = randomBytes(32).toString('base64');
const NOW = Date.now();
const env = { SESSION_GUARD_SECRET: SECRET };

const seal = (
  entries: readonly Entry[],
  realm = 'session kong session_guard',
  { secret = SECRET, purpose = 'session' }: { secret?: string; purpose?: Purpose } = {},
): Promise<string> => new TokenCodec(new KeyRing([secret], realm, 0), purpose).seal(entries, NOW);

const id = randomBytes(32).toString('base64url');
const entry: Entry = { audience: 'default', id, generation: 7 };

async function inspect(stdin: string, argv: readonly string[] = []) {
  const { code, stdout, stderr } = await run(['inspect', '--json', ...argv], { stdin, env });
  const { cookies = [] } = JSON.parse(stdout || '{}') as { cookies?: Record<string, unknown>[] };
  return { code, cookies, stderr };
}

const entriesOf = (cookie: Record<string, unknown> | undefined) =>
  (cookie?.['entries'] ?? []) as Record<string, unknown>[];

test('a cookie of server storage: all of it but the id', async () => {
  const value = await seal([entry, { ...entry, audience: 'shop', generation: 0 }]);
  const { code, cookies } = await inspect(`${value}\n`);
  assert.equal(code, 0);
  const { kid, sealed_on: day, ...rest } = cookies[0] ?? {};
  assert.deepEqual(rest, {
    opens: true,
    cookie: 'session',
    octets: value.length,
    alg: 'dir',
    enc: 'A256GCM',
    typ: 'sg-session',
    sealed_under: 'the main secret',
    storage: 'kong',
    entries: [
      { audience: 'default', generation: 7 },
      { audience: 'shop', generation: 0 },
    ],
  });
  assert.match(String(kid), /^[\w-]{11}\.\d+$/);
  assert.equal(day, new Date(NOW).toISOString().slice(0, 10));
  assert.ok(!JSON.stringify(cookies).includes(id));
});

test('a cookie of cookie storage tells its session', async () => {
  const handle = randomUUID();
  const content = {
    handle,
    family: randomUUID(),
    consumerId: randomUUID(),
    credentialId: randomUUID(),
    subject: undefined,
    data: { username: 'zo\xc3\xab' },
    authenticatedAt: NOW,
    startedAt: NOW,
    renewedAt: NOW,
    seenAt: NOW,
  };
  for (const realm of ['session cookie ', 'session cookie session_guard']) {
    const { cookies } = await inspect(await seal([{ ...entry, content }], realm));
    assert.equal(cookies[0]?.['storage'], 'cookie');
    const [shown] = entriesOf(cookies[0]);
    assert.equal(shown?.['handle'], handle);
    assert.equal(shown?.['family'], content.family);
    assert.equal(shown?.['username'], 'zoë');
    assert.equal(shown?.['subject'], null);
    assert.ok(!JSON.stringify(cookies).includes(id));
  }
});

test('a whole header, chunks joined, other cookies passed over', async () => {
  const groups = Array.from({ length: 400 }, (_, index) => `group-${index}`);
  const content = {
    handle: randomUUID(),
    family: randomUUID(),
    consumerId: randomUUID(),
    credentialId: 'k',
    subject: undefined,
    data: { groups },
    authenticatedAt: NOW,
    startedAt: NOW,
    renewedAt: NOW,
    seenAt: NOW,
  };
  const long = await seal([{ ...entry, content }], 'portal cookie ');
  const room = 4096 - 'portal'.length - 2;
  const marked = `${Math.ceil((long.length + 2) / room)}~${long}`;
  const chunks = Array.from({ length: Number(marked[0]) }, (_, index) => {
    const name = index === 0 ? 'portal' : `portal${index + 1}`;
    return `${name}=${marked.slice(index * room, (index + 1) * room)}`;
  });
  const remember = await seal([entry], 'remember portal kong session_guard', {
    purpose: 'remember',
  });
  const header = `Cookie: theme=dark; ${chunks.join('; ')}; remember=${remember}; x`;
  const { code, cookies } = await inspect(header);
  assert.equal(code, 0);
  assert.deepEqual(
    cookies.map(({ cookie, opens, typ }) => [cookie, opens, typ]),
    [
      ['portal', true, 'sg-session'],
      ['remember', true, 'sg-remember'],
    ],
  );
  const [shown] = entriesOf(cookies[0]);
  assert.deepEqual(shown?.['groups'], groups);
});

test('the session cookie beside a persistent one may have to be told', async () => {
  const seals = { purpose: 'remember' } as const;
  const value = await seal([entry], 'remember session cookie ', seals);
  const { code, cookies } = await inspect(`remember=${value}`);
  assert.deepEqual([code, cookies[0]?.['storage']], [0, 'cookie']);
  const other = `remember=${await seal([entry], 'remember portal kong session_guard', seals)}`;
  assert.equal((await inspect(other)).code, 3);
  assert.equal((await inspect(other, ['--session-name', 'portal'])).code, 0);
});

test('another name or schema has to be told', async () => {
  const value = await seal([entry], '__Host-portal kong other');
  assert.equal((await inspect(value)).code, 3);
  const argv = ['--cookie-name', '__Host-portal', '--schema', 'other'];
  assert.equal((await inspect(value, argv)).code, 0);
  assert.equal((await inspect(`__Host-portal=${value}`, ['--schema', 'other'])).code, 0);
});

test('a fallback opens too, and is called one', async (context) => {
  const folder = await mkdtemp(join(tmpdir(), 'session-guard-cli-'));
  context.after(() => rm(folder, { recursive: true }));
  const [old, current] = [join(folder, 'old'), join(folder, 'current')];
  await writeFile(old, 'the secret before\n');
  await writeFile(current, SECRET);
  const value = await seal([entry], undefined, { secret: 'the secret before' });
  const files = ['--secret-file', current, '--secret-file', old];
  const { cookies } = await inspect(value, files);
  assert.equal(cookies[0]?.['sealed_under'], 'a fallback');
});

test('what does not open is told apart from what is no cookie of ours', async () => {
  const value = await seal([entry]);
  const tampered = `${value.slice(0, -30)}AAAA${value.slice(-26)}`;
  const foreign = await seal([entry], undefined, { secret: 'somebody else' });
  for (const each of [tampered, foreign]) {
    const { code, cookies } = await inspect(each);
    assert.equal(code, 3);
    assert.equal(cookies[0]?.['opens'], false);
    assert.equal(cookies[0]?.['entries'], undefined);
  }
  const jwt = 'eyJhbGciOiJkaXIifQ..x.y.z';
  for (const each of ['', 'hunter2', 'a=b; c=d', 'session=hunter2', jwt]) {
    const { code, stderr } = await inspect(each);
    assert.equal(code, 3, each);
    assert.equal(stderr, 'session-guard: inspect: the input holds no cookie of session-guard\n');
  }
});

test('needs the secret, and standard input for the cookie', async () => {
  const none = await run(['inspect'], { stdin: 'x' });
  assert.equal(none.code, 2);
  assert.match(none.stderr, /--secret-file or SESSION_GUARD_SECRET/);
  assert.equal((await run(['inspect', '--secret-file', '-'], { stdin: 'x' })).code, 2);
  const missing = await run(['inspect', '--secret-file', '/nonexistent'], { stdin: 'x' });
  assert.equal(missing.code, 1);
  assert.match(missing.stderr, /--secret-file cannot be read: ENOENT/);
});

test('people read lines', async () => {
  const { stdout } = await run(['inspect'], { stdin: await seal([entry]), env });
  assert.match(stdout, /^sealed under: +the main secret$/m);
  assert.match(stdout, /^generation: +7$/m);
  assert.ok(!stdout.includes(id) && !stdout.includes(SECRET));
});
