import assert from 'node:assert/strict';
import { createHmac, createSign, generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { CompactEncrypt, FlattenedEncrypt, GeneralEncrypt } from 'jose';
import { isDenied, assertDenied, assertOk, nameIn } from './support/assertions.ts';
import { encode, Forger, newId, wholeSession } from './support/forger.ts';
import { newSecret, Scene, type Site } from './support/scene.ts';
import { inParallel } from './support/waiting.ts';

const STORAGES = ['kong', 'cookie'] as const;
const HOUR = 3600_000;

/**
 * Tokens of somebody who has the secret, or the form without it. The unit tests of tokens go through more of them;
 * these show that nothing around the token makes up for what is wrong with it.
 */
describe('forged cookies', { concurrency: 6 }, () => {
  let scene: Scene;
  before(async () => {
    scene = await Scene.open();
  });
  after(() => scene.close());

  /** A route of storage `cookie`, the secret of which is known to the forger. */
  async function known(config: object = {}): Promise<{ site: Site; forger: Forger }> {
    const secret = newSecret();
    const site = await scene.setUp({ storage: 'cookie', secret, ...config });
    return { site, forger: new Forger(secret, 'session cookie ') };
  }

  const ask = (site: Site, value: string) => site.browser().ask({ cookie: `session=${value}` });

  async function assertWorthless(site: Site, values: Iterable<string>): Promise<void> {
    await inParallel([...values], 4, async (value) => {
      assertDenied(await ask(site, value), value.slice(0, 200));
    });
  }

  const genuine = (content: object = {}) => wholeSession(scene.alice.id, { ...content });

  test('a forgery without a fault is as good as a cookie of ours', async () => {
    const { site, forger } = await known();
    assertOk(await ask(site, forger.seal(genuine())), scene.alice);
    const tomorrow = Math.floor(Date.now() / (24 * HOUR)) + 1;
    assertOk(await ask(site, forger.seal(genuine(), { day: tomorrow })), scene.alice);
  });

  for (const storage of STORAGES) {
    test(`S-130 ${storage}: a signed token is none of ours, whatever signs it`, async () => {
      const secret = newSecret();
      const site = await scene.setUp({ storage, secret });
      const claims = encode(JSON.stringify(genuine()));
      const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
      const signed = (alg: string, sign: (text: string) => Buffer): string[] =>
        ['JWT', 'sg-session'].map((typ) => {
          const text = `${encode(JSON.stringify({ alg, typ }))}.${claims}`;
          return `${text}.${encode(sign(text))}`;
        });
      const hmac = (key: string | Buffer) =>
        signed('HS256', (text) => createHmac('sha256', key).update(text).digest());
      await assertWorthless(site, [
        ...hmac(''),
        ...hmac(secret),
        ...hmac(Buffer.from(secret, 'base64')),
        ...hmac('secret'),
        ...signed('RS256', (text) => createSign('sha256').update(text).sign(privateKey)),
      ]);
    });
  }

  test('S-133: the right key under another algorithm', async () => {
    const { site, forger } = await known();
    const kid = forger.kid();
    const typ = 'sg-session';
    const key = forger.key('session', kid);
    const text = Buffer.from(JSON.stringify(genuine()));
    const sealed = (alg: string, enc: string, material: Uint8Array) =>
      new CompactEncrypt(text).setProtectedHeader({ alg, enc, kid, typ }).encrypt(material);
    const double = forger.key('session', kid, 64);
    await assertWorthless(site, [
      await sealed('A256GCMKW', 'A256GCM', key),
      await sealed('A256KW', 'A256GCM', key),
      await sealed('A128KW', 'A256GCM', key.subarray(0, 16)),
      await sealed('dir', 'A128GCM', key.subarray(0, 16)),
      await sealed('dir', 'A192GCM', key.subarray(0, 24)),
      await sealed('dir', 'A256CBC-HS512', double),
      await sealed('dir', 'A128CBC-HS256', key),
      forger.seal(genuine(), { cipher: 'aes-128-gcm' }),
      forger.seal(genuine(), { cipher: 'aes-192-gcm' }),
    ]);
    assertOk(await ask(site, await sealed('dir', 'A256GCM', key)), scene.alice);
  });

  test('S-134: keys and addresses in the header are not even looked at', async () => {
    const { site, forger } = await known();
    let visits = 0;
    const server = createServer((_, response) => {
      visits += 1;
      response.end('{"keys":[]}');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys.json`;
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const jwk = publicKey.export({ format: 'jwk' });
    const headers: object[] = [
      { jwk },
      { jwk: { kty: 'oct', k: encode(randomBytes(32)) } },
      { jku: url },
      { x5u: url },
      { x5c: ['MIIB'] },
      { x5t: 'AAAA' },
      { alg: 'ECDH-ES', epk: jwk },
      { kid: '../../etc/passwd' },
      { kid: 'x'.repeat(3000) },
      { kid: "'; drop table sessions; --" },
      { kid: `AAAAAAAAAAA.${Math.floor(Date.now() / 86_400_000)}` },
      { kid: undefined },
      { typ: undefined },
      { typ: 'JWT' },
      { cty: 'JWT' },
      { zip: 'DEF' },
    ];
    const values = headers.map((fields) =>
      forger.seal(genuine(), { header: forger.header({ ...fields }) }),
    );
    await assertWorthless(site, values);
    assert.equal(visits, 0);
    await new Promise((resolve) => server.close(resolve));
  });

  test('S-135: nothing is critical to us', async () => {
    const { site, forger } = await known();
    const headers = [
      { crit: ['exp'], exp: 4102444800 },
      { crit: ['x'], x: 1 },
      { crit: [] },
      { b64: false, crit: ['b64'] },
      { b64: false },
    ];
    const values = headers.map((fields) =>
      forger.seal(genuine(), { header: forger.header({ ...fields }) }),
    );
    await assertWorthless(site, values);
  });

  test('S-136: there is one way to write a token', async () => {
    const { site, forger } = await known();
    const value = forger.seal(genuine());
    const [header = '', , iv = '', ciphertext = '', tag = ''] = value.split('.');
    const protectedHeader = JSON.parse(forger.header()) as { alg: 'dir'; enc: 'A256GCM' };
    const key = forger.key('session', forger.kid());
    const text = Buffer.from(JSON.stringify(genuine()));
    const flattened = await new FlattenedEncrypt(text)
      .setProtectedHeader(protectedHeader)
      .encrypt(key);
    const general = await new GeneralEncrypt(text)
      .setProtectedHeader(protectedHeader)
      .addRecipient(key)
      .encrypt();
    const own = forger.header();
    const headers = [
      own.replace('{', '{"alg":"none",'),
      own.replace('}', ',"alg":"dir"}'),
      own.replace('{', '{ '),
      `${own} `,
      `${own}{}`,
      `${own}garbage`,
      own.replace('"alg"', '"\\u0061lg"'),
      JSON.stringify(Object.fromEntries(Object.entries(protectedHeader).toReversed())),
    ];
    await assertWorthless(site, [
      JSON.stringify(flattened),
      JSON.stringify(general),
      encode(JSON.stringify(flattened)),
      ...headers.map((text_) => forger.seal(genuine(), { header: text_ })),
      ...[header, iv, ciphertext, tag].map((part) => value.replace(part, `${part}=`)),
      ...[iv, ciphertext, tag].map((part) => value.replace(part, ` ${part}`)),
      ...[iv, ciphertext, tag].map((part) =>
        value.replace(part, `${part.slice(0, 8)} ${part.slice(8)}`),
      ),
      withStandardAlphabet(forger),
    ]);
    assertOk(await ask(site, value), scene.alice);
  });

  /** With + or / in place of - or _. */
  function withStandardAlphabet(forger: Forger): string {
    for (;;) {
      const value = forger.seal(genuine());
      const other = value.replaceAll('-', '+').replaceAll('_', '/');
      if (other !== value) return other;
    }
  }

  test('S-138: moments that cannot be', async () => {
    const { site, forger } = await known();
    const now = Date.now();
    const inHours = (hours: number) => now + hours * HOUR;
    const moments = [
      { a: inHours(-25), b: inHours(-25) },
      { r: inHours(-2) },
      { u: inHours(-1) },
      { a: inHours(1), b: inHours(1), r: inHours(1), u: inHours(1) },
      { a: inHours(1) },
      { b: inHours(1) },
      { r: inHours(1) },
      { u: inHours(1) },
      ...['a', 'b', 'r', 'u'].flatMap((name) => [
        { [name]: undefined },
        { [name]: null },
        { [name]: String(now) },
        { [name]: -1 },
        { [name]: {} },
      ]),
    ];
    for (const content of moments) {
      assertDenied(await ask(site, forger.seal(genuine(content))), JSON.stringify(content));
    }
    // JSON has no Infinity, but it has a spelling of it.
    for (const name of ['a', 'b', 'r', 'u']) {
      const text = JSON.stringify(genuine({ [name]: 123_456_789 }));
      assertDenied(await ask(site, forger.seal(text.replace('123456789', '1e400'))), name);
    }
  });

  test('S-041: a clock that is two seconds ahead is forgiven', async () => {
    const { site, forger } = await known();
    const soon = Date.now() + 2000;
    const content = { a: soon, b: soon, r: soon, u: soon };
    assertOk(await ask(site, forger.seal(genuine(content))), scene.alice);
  });

  test('S-138: a key of a day on which no living token was made', async () => {
    const { site, forger } = await known();
    const today = Math.floor(Date.now() / 86_400_000);
    for (const day of [today + 2, today + 400, today - 401, 0]) {
      assertDenied(await ask(site, forger.seal(genuine(), { day })), String(day - today));
    }
  });

  test('S-139: what was sealed for another purpose', async () => {
    const { site, forger } = await known({ remember: true });
    const header = forger.header({ typ: 'sg-session' });
    await assertWorthless(site, [
      forger.seal(genuine(), { purpose: 'remember' }),
      forger.seal(genuine(), { purpose: 'data' }),
      forger.seal(genuine(), { purpose: 'remember', header }),
      forger.seal(genuine(), { purpose: 'data', header }),
    ]);
  });

  test('S-140: what was sealed for another cookie, storage, database or audience', async () => {
    const secret = newSecret();
    const site = await scene.setUp({ storage: 'cookie', secret, remember: true });
    const realms = [
      'other cookie ',
      'session kong ',
      'session cookie x',
      'remember cookie ',
      'remember session cookie ',
      '',
    ];
    await assertWorthless(
      site,
      realms.map((realm) => new Forger(secret, realm).seal(genuine())),
    );
    const forger = new Forger(secret, 'session cookie ');
    for (const audience of ['other', '', 'default ', 'Default']) {
      assertDenied(await ask(site, forger.seal(wholeSession(scene.alice.id, {}, audience))));
    }
  });

  test('S-141: contents that are none', async () => {
    const { site, forger } = await known();
    const whole = genuine();
    const [entry = []] = whole.s;
    const [audience, id, , content] = entry;
    const deep = '['.repeat(2000) + ']'.repeat(2000);
    const entries = (...all: unknown[]) => ({ v: 1, s: all });
    const contents = [
      'not JSON',
      '',
      'null',
      '5',
      '[]',
      '"text"',
      deep,
      `{"v":1,"s":${deep}}`,
      { ...whole, v: 2 },
      { ...whole, v: '1' },
      { s: whole.s },
      { v: 1 },
      { v: 1, s: {} },
      entries(),
      entries(...Array.from({ length: 17 }, () => entry)),
      entries([]),
      entries(null),
      entries(Object.fromEntries(Object.entries(entry))),
      entries([audience, 'short', 0, content]),
      entries([audience, `${newId()}=`, 0, content]),
      entries([audience, id, -1, content]),
      entries([audience, id, 0.5, content]),
      entries([audience, id, '0', content]),
      entries([audience, id, 2 ** 60, content]),
      entries([audience, id, 0]),
      entries([audience, id, 0, null]),
      entries([audience, id, 0, 'content']),
      genuine({ h: 5 }),
      genuine({ f: undefined }),
      genuine({ c: undefined }),
      genuine({ c: [scene.alice.id] }),
      genuine({ k: undefined }),
      genuine({ s: 5 }),
      genuine({ d: undefined }),
      genuine({ d: [] }),
      genuine({ d: { groups: 'root' } }),
      genuine({ d: { groups: [5] } }),
      genuine({ d: { groups: { 0: 'root' } } }),
      genuine({ d: { username: 5 } }),
    ];
    await assertWorthless(
      site,
      contents.map((forged) => forger.seal(forged)),
    );
    assertOk(await ask(site, forger.seal(whole)), scene.alice);
  });

  test('S-141: `__proto__` in a content is a name like any other', async () => {
    const { site, forger } = await known();
    const text = JSON.stringify(genuine()).replace('{', '{"__proto__":{"admin":true},');
    const reply = await ask(site, forger.seal(text));
    assert.ok(isDenied(reply) || nameIn(reply) === scene.alice.username, String(reply.status));
    const inside = JSON.stringify(genuine()).replace(
      '"d":{}',
      '"d":{"__proto__":{"groups":["root"]}}',
    );
    const later = await ask(site, forger.seal(inside));
    assert.equal(later.body.includes('root'), false);
    assertOk(await (await site.signIn(scene.bob)).browser.get(), scene.bob);
  });

  test('S-141: a megabyte', async () => {
    const { site, forger } = await known();
    const value = forger.seal(genuine({ d: { username: 'x'.repeat(1_000_000) } }));
    const outcome = await ask(site, value).then(
      ({ status }) => status,
      () => 'closed',
    );
    assert.ok([400, 403, 413, 431, 494, 'closed'].includes(outcome), String(outcome));
    assertOk(await (await site.signIn(scene.alice)).browser.get(), scene.alice);
  });

  test('S-141: ids of consumers that are no ids', async () => {
    const { site, forger } = await known({ consumer_ttl: 1 });
    for (const id of [
      'alice',
      scene.alice.username,
      "' or 1=1 --",
      '',
      '../consumers',
      '0'.repeat(36),
    ]) {
      const reply = await ask(site, forger.seal(wholeSession(id)));
      assertDenied(reply, id);
    }
    assertDenied(await ask(site, forger.seal(wholeSession(randomUUID()))), 'nobody');
    assertOk(await (await site.signIn(scene.alice)).browser.get(), scene.alice);
  });

  test('S-126: what a token says reaches SQL as a value', async () => {
    const secret = newSecret();
    const postgres = scene.postgres;
    const site = await scene.setUp({ storage: 'cookie', secret, postgres, self_service: true });
    const forger = new Forger(secret, `session cookie ${postgres.schema}`);
    const injection = `'; drop table ${postgres.schema}.sessions cascade; --`;
    for (const content of [
      { f: injection },
      { k: injection },
      { h: injection },
      { s: injection },
    ]) {
      const value = forger.seal(genuine(content));
      assertOk(await ask(site, value), scene.alice, Object.keys(content)[0]);
      const cookie = `session=${value}`;
      const logout = await site
        .browser()
        .ask({ method: 'DELETE', path: '/?session_logout', cookie });
      assert.equal(logout.status, 200);
      assertDenied(await ask(site, value));
    }
    await scene.rows('select from :SCHEMA.sessions limit 1');
    const ended = await scene.rows(
      "select from :SCHEMA.cutoffs where kind = 'family' and target like '%drop table%'",
    );
    assert.equal(ended.length, 1, 'the family was ended under its own name');
  });

  test('S-126 kong: an id that is SQL is not even looked up', async () => {
    const secret = newSecret();
    const site = await scene.setUp({ storage: 'kong', secret });
    const forger = new Forger(secret, `session kong ${scene.postgres.schema}`);
    for (const id of ["'; drop table sessions; --", newId(), `${newId().slice(0, 42)}'`]) {
      assertDenied(await ask(site, forger.seal({ v: 1, s: [['default', id, 0]] })));
    }
    const { browser } = await site.signIn(scene.alice);
    assertOk(await browser.get(), scene.alice);
  });

  test('S-141 kong: generations that were never issued', async () => {
    const secret = newSecret();
    const site = await scene.setUp({ storage: 'kong', secret });
    const forger = new Forger(secret, `session kong ${scene.postgres.schema}`);
    const { browser } = await site.signIn(scene.alice);
    const id = await forger.idIn(browser.cookie());
    for (const generation of [1, 2, 2 ** 31, Number.MAX_SAFE_INTEGER]) {
      assertDenied(await ask(site, forger.seal({ v: 1, s: [['default', id, generation]] })));
    }
    assertOk(await ask(site, forger.seal({ v: 1, s: [['default', id, 0]] })), scene.alice);
  });

  for (const storage of STORAGES) {
    test(`S-142 ${storage}: no IV comes twice, and the header tells nothing`, async () => {
      const site = await scene.setUp({ storage });
      const tokens = await inParallel(Array.from({ length: 300 }), 8, async () => {
        const { browser } = await site.signIn(scene.alice);
        return browser.cookie().split('.');
      });
      assert.equal(new Set(tokens.map(([, , iv]) => iv)).size, tokens.length);
      const headers = new Set(tokens.map(([header = '']) => header));
      for (const header of headers) {
        const fields = JSON.parse(Buffer.from(header, 'base64url').toString()) as object;
        assert.deepEqual(Object.keys(fields).toSorted(), ['alg', 'enc', 'kid', 'typ']);
        assert.match((fields as { kid: string }).kid, /^[\w-]{11}\.\d+$/);
      }
    });
  }
});
