import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { CompactEncrypt } from 'jose';
import { KeyRing } from '../../lib/keys.ts';
import { DataCodec, TokenCodec } from '../../lib/token.ts';
import type { Entry } from '../../lib/token.ts';

const DAY = 86_400_000;
const NOW = 20_000 * DAY + 1000;
const SECRET = randomBytes(32).toString('base64');
const OTHER = randomBytes(32).toString('base64');
const REALM = 'session kong session_guard';
const YEAR = 365 * DAY;

const ring = (secrets = [SECRET], realm = REALM, longest = DAY) =>
  new KeyRing(secrets, realm, longest);
const codec = (keys = ring()) => new TokenCodec(keys, 'session');
const entry = (): Entry => ({
  audience: 'default',
  id: randomBytes(32).toString('base64url'),
  generation: 3,
});

test('what is sealed opens again', async () => {
  const entries = [entry(), { ...entry(), audience: 'other' }];
  const token = await codec().seal(entries, NOW);
  assert.deepEqual(await codec().open(token, NOW), { entries, isFallback: false });
  assert.ok(token.length <= 512, `${token.length} octets`);
  assert.match(token, /^[\w.-]+$/);
});

test('a cookie holds sixteen audiences and refuses more', async () => {
  const entries = Array.from({ length: 17 }, (_, index) => ({ ...entry(), audience: `a${index}` }));
  const token = await codec().seal(entries.slice(1), NOW);
  assert.equal((await codec().open(token, NOW))?.entries.length, 16);
  await assert.rejects(codec().seal(entries, NOW), { code: 'ERR_TOO_LARGE' });
});

test('no two tokens are alike and nothing inside shows', async () => {
  const one = entry();
  const tokens = await Promise.all(Array.from({ length: 50 }, () => codec().seal([one], NOW)));
  assert.equal(new Set(tokens).size, 50);
  assert.equal(new Set(tokens.map((token) => token.split('.')[2])).size, 50);
  for (const token of tokens) {
    assert.ok(!Buffer.from(token, 'base64url').toString('latin1').includes(one.id));
  }
});

test('a token is worthless under another secret, realm or purpose', async () => {
  const token = await codec().seal([entry()], NOW);
  assert.equal(await codec(ring([OTHER])).open(token, NOW), undefined);
  assert.equal(codec(ring([OTHER])).isOurs(token, NOW), false);
  assert.equal(await codec(ring([SECRET], 'session cookie ')).open(token, NOW), undefined);
  const remember = new TokenCodec(ring(), 'remember');
  assert.equal(remember.isOurs(token, NOW), false);
  assert.equal(await remember.open(token, NOW), undefined);
});

test('a fallback opens, the first secret seals', async () => {
  const old = await codec(ring([OTHER])).seal([entry()], NOW);
  const both = codec(ring([SECRET, OTHER]));
  assert.equal((await both.open(old, NOW))?.isFallback, true);
  const fresh = await both.seal([entry()], NOW);
  assert.equal((await codec().open(fresh, NOW))?.isFallback, false);
  assert.equal(await codec(ring([OTHER])).open(fresh, NOW), undefined);
});

test('a day that no living token can have is refused before a key is derived', async () => {
  const token = await codec().seal([entry()], NOW);
  assert.ok(codec().isOurs(token, NOW - DAY));
  assert.equal(codec().isOurs(token, NOW - 2 * DAY), false);
  assert.ok(codec().isOurs(token, NOW + 400 * DAY));
  assert.equal(codec().isOurs(token, NOW + 401 * DAY), false);
  assert.ok(codec(ring([SECRET], REALM, 2 * YEAR)).isOurs(token, NOW + 2 * YEAR));
  assert.ok(codec(ring([SECRET], REALM, 0)).isOurs(token, NOW + 100 * YEAR));
});

test('every other spelling and every changed character is refused', async () => {
  const token = await codec().seal([entry()], NOW);
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const spellings = [
    `${token}=`,
    `${token}==`,
    `${token}\n`,
    ` ${token}`,
    `${token}.`,
    `${token}A`,
  ];
  for (let at = 0; at < token.length; at++) {
    spellings.push(token.slice(0, at), token.slice(0, at) + '\n' + token.slice(at));
    spellings.push(token.slice(0, at) + '+' + token.slice(at + 1));
  }
  // The last character of each part is where base64url has slack bits: all 64 of them.
  for (const end of token
    .split('.')
    .map((_, part, all) => all.slice(0, part + 1).join('.').length)) {
    for (const letter of alphabet)
      spellings.push(token.slice(0, end - 1) + letter + token.slice(end));
  }
  let tried = 0;
  for (const spelling of spellings) {
    if (spelling === token) continue;
    tried += 1;
    assert.equal(await codec().open(spelling, NOW), undefined, JSON.stringify(spelling));
  }
  assert.ok(tried > 1000);
});

test('segments of two tokens do not mix', async () => {
  const [a, b] = await Promise.all([codec().seal([entry()], NOW), codec().seal([entry()], NOW)]);
  const parts = [a.split('.'), b.split('.')] as const;
  let tried = 0;
  for (let mask = 1; mask < 31; mask++) {
    const mixed = parts[0]
      .map((part, i) => (mask & (1 << i) ? (parts[1][i] ?? '') : part))
      .join('.');
    if (mixed === a || mixed === b) continue;
    tried += 1;
    assert.equal(await codec().open(mixed, NOW), undefined);
  }
  assert.ok(tried >= 14);
});

/** A token that we would not write, under the very key that opens ours. */
async function forge(header: object, payload: unknown, keys = ring()): Promise<string> {
  const kid = keys.sealingKid(NOW);
  const full = { alg: 'dir', enc: 'A256GCM', kid, typ: 'sg-session', ...header };
  const crit = 'crit' in header ? { crit: { x: true } } : {};
  return new CompactEncrypt(Buffer.from(JSON.stringify(payload)))
    .setProtectedHeader(full)
    .encrypt(await keys.key('session', kid), crit);
}

test('a header that is not exactly ours is refused, with the right key', async () => {
  const good = { v: 1, s: [['default', 'x'.repeat(43), 0]] };
  assert.ok(await codec().open(await forge({}, good), NOW));
  const headers = [
    { typ: 'JWT' },
    { typ: 'sg-data' },
    { typ: 'SG-SESSION' },
    { kid: `${ring().sealingKid(NOW)} ` },
    { kid: '../../etc/passwd' },
    { kid: "' or 1=1--" },
    { kid: ring([OTHER]).sealingKid(NOW) },
    { kid: ring().sealingKid(NOW).replace('.', '.0') },
    { cty: 'JWT' },
    { crit: ['x'], x: 1 },
    { jwk: { kty: 'oct', k: 'AA' } },
    { jku: 'https://evil.test' },
    { x5u: 'https://evil.test' },
    { zip: undefined, extra: 1 },
  ];
  for (const header of headers) {
    const token = await forge(header, good);
    assert.equal(codec().isOurs(token, NOW), false, JSON.stringify(header));
    assert.equal(await codec().open(token, NOW), undefined, JSON.stringify(header));
  }
});

test('a payload that we would not write is refused, with the right key', async () => {
  const id = 'x'.repeat(43);
  const deep = JSON.parse('['.repeat(2000) + ']'.repeat(2000)) as unknown;
  const payloads: unknown[] = [
    null,
    [],
    5,
    'x',
    {},
    { v: 1 },
    { v: 2, s: [['default', id, 0]] },
    { v: '1', s: [['default', id, 0]] },
    { v: 1, s: [] },
    { v: 1, s: {} },
    { v: 1, s: deep },
    { v: 1, s: Array.from({ length: 17 }, () => ['default', id, 0]) },
    { v: 1, s: [['default', id]] },
    { v: 1, s: [['default', id, -1]] },
    { v: 1, s: [['default', id, 0.5]] },
    { v: 1, s: [['default', id, '0']] },
    { v: 1, s: [['default', id.slice(1), 0]] },
    { v: 1, s: [['default', `${id.slice(1)}'`, 0]] },
    { v: 1, s: [[7, id, 0]] },
    { v: 1, s: [['default', id, 0], null] },
    { v: 1, s: [['default', id, 0, {}]] },
    { v: 1, s: [['default', id, 0, 'x']] },
    { v: 1, s: [['default', id, 0, null]] },
  ];
  for (const payload of payloads) {
    assert.equal(await codec().open(await forge({}, payload), NOW), undefined, String(payload));
  }
});

/** A whole session, as storage `cookie` seals it. */
const content = {
  h: 'handle',
  f: 'family',
  c: '00000000-0000-4000-8000-000000000001',
  k: 'credential',
  d: {},
  a: 1,
  b: 2,
  r: 3,
  u: 4,
};

const openWhole = async (changes: object) => {
  const payload = { v: 1, s: [['default', 'x'.repeat(43), 0, { ...content, ...changes }]] };
  return (await codec().open(await forge({}, payload), NOW))?.entries[0]?.content;
};

test('a whole session in a cookie has every field it needs, each of its kind', async () => {
  assert.deepEqual(await openWhole({}), {
    handle: 'handle',
    family: 'family',
    consumerId: content.c,
    credentialId: 'credential',
    subject: undefined,
    data: {},
    authenticatedAt: 1,
    startedAt: 2,
    renewedAt: 3,
    seenAt: 4,
  });
  const wrong: Record<string, unknown[]> = {
    h: [undefined, null, 7],
    f: [undefined, null, 7],
    k: [undefined, null, 7],
    c: [undefined, 7, 'alice', `${content.c}x`, `x${content.c}`, "' or 1=1 --"],
    s: [null, 7],
    d: [undefined, null, 'x', []],
    a: [undefined, null, '1', -1],
    b: [undefined, null, '1', -1],
    r: [undefined, null, '1', -1],
    u: [undefined, null, '1', -1],
  };
  for (const [field, values] of Object.entries(wrong)) {
    for (const value of values) {
      assert.equal(await openWhole({ [field]: value }), undefined, `${field} ${String(value)}`);
    }
  }
  assert.equal((await openWhole({ s: 'subject', a: 0, b: 0, r: 0, u: 0 }))?.subject, 'subject');
});

test('what a session says of its consumer is text, and groups are a list of it', async () => {
  const texts = ['username', 'customId', 'ip', 'userAgent', 'bound', 'credential'];
  const good = { ...Object.fromEntries(texts.map((name) => [name, 'x'])), groups: ['a', 'b'] };
  assert.deepEqual((await openWhole({ d: good }))?.data, good);
  assert.deepEqual((await openWhole({ d: { groups: [] } }))?.data, { groups: [] });
  for (const name of texts) {
    for (const value of [7, null, ['x']]) {
      assert.equal(await openWhole({ d: { ...good, [name]: value } }), undefined, name);
    }
  }
  for (const groups of [null, 'a', {}, ['a', 7], [null]]) {
    assert.equal(await openWhole({ d: { ...good, groups } }), undefined, JSON.stringify(groups));
  }
});

test('a token that was verified is known from then on', async () => {
  const token = await codec().seal([entry()], NOW);
  const opened = await codec().open(token, NOW);
  assert.ok(opened);
  assert.equal(await codec().open(token, NOW), opened);
});

test('what is not a JWE of ours at all', async () => {
  const values = [
    '',
    '.',
    '....',
    'eyJhbGciOiJub25lIn0.e30.',
    'a.b.c',
    '{"alg":"none"}',
    'x'.repeat(4096),
  ];
  for (const value of values) {
    assert.equal(codec().isOurs(value, NOW), false);
    assert.equal(await codec().open(value, NOW), undefined);
  }
});

test("a row's data opens only for its own row", async () => {
  const data = new DataCodec(ring(), () => NOW);
  const sealed = await data.seal('key-a', { username: 'Zo\xc3\xab', groups: ['gold'] });
  assert.deepEqual(await data.open('key-a', sealed), { username: 'Zo\xc3\xab', groups: ['gold'] });
  assert.equal(await data.open('key-b', sealed), undefined);
  assert.equal(await new DataCodec(ring([OTHER]), () => NOW).open('key-a', sealed), undefined);
  assert.equal(await data.open('key-a', Buffer.from('{}')), undefined);
});
