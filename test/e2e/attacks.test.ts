import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Ask, parseSetCookie, sendRaw } from '../support/client.ts';
import { assertDenied, assertOk } from './support/assertions.ts';
import { type PluginConfig, Scene, type Site } from './support/scene.ts';
import { inParallel } from './support/waiting.ts';

const STORAGES = ['kong', 'cookie'] as const;
const BASE64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

describe('cookies that nobody issued', { concurrency: 4 }, () => {
  let scene: Scene;
  before(async () => {
    scene = await Scene.open();
  });
  after(() => scene.close());

  async function aliceAt(config: PluginConfig) {
    const site = await scene.setUp(config);
    const { cookie, browser } = await site.signIn(scene.alice);
    return { site, cookie, value: browser.cookie(site.cookieName) };
  }

  /** Every one is refused as if it were not there, and the genuine one is as good as before. */
  async function assertWorthless(site: Site, genuine: string, cookies: Iterable<string>) {
    const browser = site.browser();
    await inParallel([...cookies], 8, async (cookie) => {
      assertDenied(await browser.ask({ cookie }), JSON.stringify(cookie));
    });
    assertOk(await browser.ask({ cookie: genuine }), scene.alice, 'the genuine cookie');
  }

  const named = (values: Iterable<string>): string[] =>
    [...values].map((value) => `session=${value}`);

  for (const storage of STORAGES) {
    test(`S-111 ${storage}: no character can be another one`, async () => {
      const { site, cookie, value } = await aliceAt({ storage });
      await assertWorthless(site, cookie, named(mutations(value)));
    });

    test(`S-112 ${storage}: no beginning will do, and nothing may follow`, async () => {
      const { site, cookie, value } = await aliceAt({ storage });
      const prefixes = Array.from(value, (_, length) => value.slice(0, length));
      const suffixes = ['A', '=', '.', 'A'.repeat(1024), ` ${value}`, `.${value}`, value];
      const longer = suffixes.map((suffix) => value + suffix);
      await assertWorthless(site, cookie, named([...prefixes, ...longer]));
    });

    test(`S-114 ${storage}: of two sessions the first one counts, whole`, async () => {
      const { site, cookie } = await aliceAt({ storage });
      const bobs = (await site.signIn(scene.bob)).cookie;
      const browser = site.browser();
      assertOk(await browser.ask({ cookie: `${cookie}; ${bobs}` }), scene.alice);
      assertOk(await browser.ask({ cookie: `${bobs}; ${cookie}` }), scene.bob);
      assertOk(await browser.ask({ cookie: [bobs, cookie] }), scene.bob);
    });

    test(`S-117 ${storage}: octets that no cookie has`, async () => {
      const { site, cookie, value } = await aliceAt({ storage });
      const odd = ['\x80\xff', '\xc0\xaf', '\xef\xbb\xbf', '\xed\xa0\x80', 'é', '\xf0\x9f\x8d\xaa'];
      const values = odd.flatMap((text) => [text, text + value, value + text]);
      await assertWorthless(site, cookie, named(values));
      for (const text of odd) {
        const others = `${text}=1; ${text}session=2; ${cookie}; session${text}=3`;
        assertOk(await site.browser().ask({ cookie: others }), scene.alice);
      }
      // These may be refused by Kong itself, which tells the client so.
      const lines = [...controls()].flatMap((octet) => [
        `session=${octet}${value}`,
        `session=${value}${octet}`,
        `${octet}=1`,
      ]);
      await inParallel(lines, 8, (line) => assertRefused(site, line));
      assertOk(await site.browser().ask({ cookie }), scene.alice);
    });

    test(`S-118 ${storage}: other spellings of a cookie`, async () => {
      const { site, cookie, value } = await aliceAt({ storage });
      const escaped = value.replaceAll('.', '%2E');
      const spellings = [
        `"${value}"`,
        escaped,
        ` ${value}`,
        `${value} ; other=1`,
        `\t${value}`,
        `=${value}`,
      ];
      const pairs = [`session =${value}`, `session\t= ${value}`, `$session=${value}`, value];
      await assertWorthless(site, cookie, [...named(spellings), ...pairs]);
      for (const header of [`$Version=1; ${cookie}`, `;; ${cookie};`, `a; =b; ${cookie}; c`]) {
        assertOk(await site.browser().ask({ cookie: header }), scene.alice, header);
      }
    });

    test(`S-119 ${storage}: the name counts as it is written`, async () => {
      const { site, cookie, value } = await aliceAt({ storage });
      const names = [
        'Session',
        'SESSION',
        'sessioN',
        'session ',
        'xsession',
        'sessionx',
        'session2',
      ];
      await assertWorthless(
        site,
        cookie,
        names.flatMap((name) => [`${name}=${value}`, `session=garbage; ${name}=${value}`]),
      );
      for (const name of names) {
        const header = `${name}=garbage; ${cookie}; ${name}=garbage`;
        assertOk(await site.browser().ask({ cookie: header }), scene.alice, header);
      }
    });

    test(`S-120 ${storage}: names that mean something to JavaScript`, async () => {
      const { site, cookie } = await aliceAt({ storage });
      const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'session[]'];
      const others = names.map((name) => `${name}=1`).join('; ');
      assertOk(await site.browser().ask({ cookie: `${others}; ${cookie}` }), scene.alice);
      await assertWorthless(site, cookie, [others]);
      await inParallel(['__proto__', 'constructor'], 2, (cookie_name) =>
        assertCycle({ storage, cookie_name }),
      );
    });

    test(`S-121 ${storage}: names with characters that mean something elsewhere`, async () => {
      const names = ['$4m04$', '04tm34l', 'a.b-c_d', '__Host-s', "!#%&'*+^`|~"];
      await inParallel(names, 5, (cookie_name) => assertCycle({ storage, cookie_name }));
    });

    test(`S-125 ${storage}: the value proves nothing anywhere else`, async () => {
      const { site, value } = await aliceAt({ storage });
      const places: Ask[] = [
        { path: `/?session=${value}` },
        { headers: { Session: value } },
        { headers: { Authorization: `Bearer ${value}` } },
        { headers: { Authorization: value, 'X-Session': value, Cookie2: `session=${value}` } },
        { method: 'POST', body: `session=${value}` },
      ];
      for (const ask of places) assertDenied(await site.browser().ask({ ...ask, cookie: '' }));
    });

    test(`S-129 ${storage}: tokens without protection`, async () => {
      const { site, cookie, value } = await aliceAt({ storage });
      const [header = '', , iv, ciphertext, tag] = value.split('.');
      const genuine = JSON.parse(Buffer.from(header, 'base64url').toString()) as object;
      const now = Math.floor(Date.now() / 1000);
      const { id: sub, username } = scene.alice;
      const claims = encode({ sub, username, consumer_id: sub, aud: 'default', exp: now + 3600 });
      const values = ['none', 'None', 'NONE', 'nOnE'].flatMap((alg) => {
        const plain = encode({ alg, typ: 'JWT' });
        const same = encode({ ...genuine, alg });
        return [
          `${plain}.${claims}.`,
          `${plain}.${claims}`,
          `${same}.${claims}.`,
          `${same}...${claims}.`,
          `${same}..${iv}.${claims}.${tag}`,
          `${same}..${iv}.${ciphertext}.${tag}`,
          `${encode({ ...genuine, enc: alg })}..${iv}.${ciphertext}.${tag}`,
        ];
      });
      await assertWorthless(site, cookie, named(values));
    });

    test(`S-137 ${storage}: parts of two genuine cookies do not make a third`, async () => {
      const { site, cookie, value } = await aliceAt({ storage });
      const { browser } = await site.signIn(scene.bob);
      const both = [value.split('.'), browser.cookie().split('.')];
      const mixtures = Array.from({ length: 32 }, (_, choice) =>
        Array.from({ length: 5 }, (_part, at) => both[(choice >> at) & 1]?.[at]).join('.'),
      );
      const foreign = new Set(mixtures);
      for (const parts of both) foreign.delete(parts.join('.'));
      assert.ok(foreign.size >= 6, 'IV, ciphertext and tag differ');
      await assertWorthless(site, cookie, named(foreign));
    });
  }

  test('S-122: chunks that do not belong together', async () => {
    const site = await scene.setUp({ storage: 'cookie' });
    const [chunks, others] = [await threeChunks(site), await threeChunks(site)];
    const [first = '', second = '', third = ''] = chunks.cookies;
    const [, foreignSecond = '', foreignThird = ''] = others.cookies;
    const browser = site.browser();
    assertOk(await browser.ask({ cookie: [first, second, third] }), chunks.person);
    assertOk(await browser.ask({ cookie: [third, second, first] }), chunks.person);
    for (const cookie of [
      [first, third],
      [first, second],
      [second, third],
      [first, renamed(third, 'session2'), renamed(second, 'session3')],
      [first, foreignSecond, third],
      [first, second, foreignThird],
      [first, foreignSecond, foreignThird],
      [first, renamed(second, 'session02'), third],
      [renamed(first, 'session1'), second, third],
      [`session=${valueOf(first).replace('3~', '2~')}`, second, third],
      [`session=${valueOf(first).replace('3~', '')}`, second, third],
      [first, `${second}A`, third],
    ]) {
      assertDenied(await browser.ask({ cookie }));
    }
    // What stands beside them may be another application's.
    const extra = [first, second, third, 'session10=x', 'session4=x'];
    assertOk(await browser.ask({ cookie: extra }), chunks.person);
  });

  /** A sign-in whose cookie has three parts, each as a Cookie line of its own: nginx takes no line above 8 kB. */
  async function threeChunks(site: Site) {
    const label = scene.name('long');
    const person = await scene.person('', {
      username: label + 'x'.repeat(3000),
      custom_id: label + 'y'.repeat(3000),
    });
    const { reply } = await site.signIn(person);
    const cookies = reply.setCookies.map((line) => line.split(';')[0] ?? '');
    assert.deepEqual(
      cookies.map((cookie) => parseSetCookie(cookie).name),
      ['session', 'session2', 'session3'],
    );
    return { person, cookies };
  }

  /** Signs in, is recognised, signs out, is refused. */
  async function assertCycle(config: { storage: string; cookie_name: string }): Promise<void> {
    const { cookie_name: name } = config;
    const site = await scene.setUp(config);
    const { reply } = await site.signIn(scene.alice);
    const [line = ''] = reply.setCookies;
    assert.ok(line.startsWith(`${name}=`), name);
    const cookie = line.split(';')[0] ?? '';
    const browser = site.browser();
    assertOk(await browser.ask({ cookie }), scene.alice, name);
    const logout = await browser.ask({ method: 'DELETE', path: '/?session_logout=1', cookie });
    assert.equal(logout.status, 200);
    assert.ok(logout.setCookies[0]?.startsWith(`${name}=;`), name);
    if (config.storage === 'kong') assertDenied(await browser.ask({ cookie }), name);
  }

  /** Over a plain socket, since no client library sends such octets. */
  async function assertRefused(site: Site, cookie: string): Promise<void> {
    const request = `GET / HTTP/1.1\r\nHost: ${site.host}\r\nCookie: ${cookie}\r\n\r\n`;
    const status = await sendRaw(scene.kong.nodes[0], request);
    assert.ok([0, 400, 403].includes(status), `${JSON.stringify(cookie)}: ${status}`);
  }
});

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** One bit of every character changed, each time another one, and every other last character of every part. */
function* mutations(value: string): Generator<string> {
  const replaced = (at: number, by: string): string =>
    value.slice(0, at) + by + value.slice(at + 1);
  for (let at = 0; at < value.length; at++) {
    const code = value.charCodeAt(at);
    const flipped = Array.from({ length: 7 }, (_, bit) => code ^ (1 << ((bit + at) % 7)));
    const printable = flipped.find((other) => other > 0x20 && other < 0x7f && other !== 0x3b);
    if (printable !== undefined) yield replaced(at, String.fromCharCode(printable));
    const isLast = value[at + 1] === '.' || at + 1 === value.length;
    if (!isLast || value[at] === '.') continue;
    for (const other of BASE64URL) if (other !== value[at]) yield replaced(at, other);
  }
}

/** All but HTAB, CR and LF, which have a meaning in a header. */
function* controls(): Generator<string> {
  for (let code = 0; code < 0x20; code++) {
    if (code !== 9 && code !== 10 && code !== 13) yield String.fromCharCode(code);
  }
  yield '\x7f';
}

const valueOf = (cookie: string): string => cookie.slice(cookie.indexOf('=') + 1);
const renamed = (cookie: string, name: string): string => `${name}=${valueOf(cookie)}`;
