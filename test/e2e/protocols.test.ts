import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import { connect as connectHttp2, constants } from 'node:http2';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { echoOf, type Reply } from '../support/client.ts';
import type { Echo } from '../support/upstream.ts';
import { assertDenied, assertNoSet, assertOk } from './support/assertions.ts';
import { missingPlugin } from './support/plugins.ts';
import { type Person, Scene, type Site } from './support/scene.ts';
import { Clock } from './support/waiting.ts';

const STORAGES = ['kong', 'cookie'] as const;

describe('ways to speak to Kong and to sign in', { concurrency: 8 }, () => {
  let scene: Scene;
  before(async () => {
    scene = await Scene.open();
  });
  after(() => scene.close());

  /** A GET over HTTP/2, every cookie a field of its own (RFC 9113 8.2.3). */
  async function getWithCrumbs(site: Site, crumbs: readonly string[]): Promise<Reply> {
    const session = connectHttp2(scene.kong.nodes[0].proxySslUrl, {
      rejectUnauthorized: false,
      servername: site.host,
    });
    try {
      const stream = session.request({
        [constants.HTTP2_HEADER_AUTHORITY]: site.host,
        [constants.HTTP2_HEADER_PATH]: '/',
        [constants.HTTP2_HEADER_COOKIE]: [...crumbs],
      });
      const headers = await new Promise<Record<string, string | string[] | undefined>>(
        (resolve, reject) => {
          stream.once('response', resolve).once('error', reject);
          session.once('error', reject);
        },
      );
      const body = await text(stream);
      const setCookies = [headers['set-cookie'] ?? []].flat();
      return { status: Number(headers[':status']), headers, setCookies, body };
    } finally {
      session.close();
    }
  }

  for (const storage of STORAGES) {
    test(`S-019 ${storage}: HTTP/2 with a cookie in several crumbs, ours in any of them`, async () => {
      const site = await scene.setUp({ storage });
      const { cookie } = await site.signIn(scene.alice);
      for (const crumbs of [
        [cookie],
        [cookie, 'a=1', 'b=2'],
        ['a=1', cookie, 'b=2'],
        ['a=1', 'b=2', cookie],
        ['a=1; b=2', `c=3; ${cookie}; d=4`],
      ]) {
        const reply = await getWithCrumbs(site, crumbs);
        assertOk(reply, scene.alice);
        assertNoSet(reply);
        const others = crumbs
          .join('; ')
          .split('; ')
          .filter((crumb) => crumb !== cookie);
        assert.equal(echoOf(reply).headers['cookie'], others.join('; ') || undefined);
      }
      assertDenied(await getWithCrumbs(site, ['a=1', 'b=2']));
    });

    test(`S-096 ${storage}: a WebSocket is opened by the session's user`, async () => {
      const site = await scene.setUp({ storage });
      const { cookie } = await site.signIn(scene.alice);
      const { status, echo } = await openWebSocket(site, { Cookie: `a=1; ${cookie}` });
      assert.equal(status, 101);
      assert.equal(echo?.headers['x-consumer-username'], scene.alice.username);
      assert.equal(echo?.headers['cookie'], 'a=1');
      const stranger = await openWebSocket(site, { Cookie: 'a=1' });
      assert.equal(stranger.status, 403);
    });

    test(`S-096 ${storage}: also when the session is due for renewal`, async () => {
      const site = await scene.setUp({ storage, rolling_timeout: 12, idling_timeout: 0 });
      const { browser, cookie } = await site.signIn(scene.alice);
      await new Clock().at(9.8);
      const { status, echo } = await openWebSocket(site, { Cookie: cookie });
      assert.equal(status, 101);
      assert.equal(echo?.headers['x-consumer-username'], scene.alice.username);
      assertOk(await browser.ask({ cookie }), scene.alice);
    });

    test(`S-103 ${storage}: signed in with a JWT`, async (t) => {
      const missing = await missingPlugin(scene, 'jwt');
      if (missing !== undefined) return t.skip(missing);
      const person = await scene.person();
      const issuer = scene.name('issuer');
      const secret = randomBytes(32).toString('hex');
      const { id } = await scene.admin.create(`/consumers/${person.id}/jwt`, {
        key: issuer,
        secret,
      });
      const signed = [{ alg: 'HS256', typ: 'JWT' }, { iss: issuer }]
        .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
        .join('.');
      const signature = createHmac('sha256', secret).update(signed).digest('base64url');
      const headers = { Authorization: `Bearer ${signed}.${signature}` };
      await assertSignsIn(storage, 'jwt', { person, id, headers });
    });

    test(`S-103 ${storage}: signed in with a signature`, async (t) => {
      const missing = await missingPlugin(scene, 'hmac-auth');
      if (missing !== undefined) return t.skip(missing);
      const person = await scene.person();
      const secret = randomBytes(16).toString('hex');
      const username = scene.name('signer');
      const { id } = await scene.admin.create(`/consumers/${person.id}/hmac-auth`, {
        username,
        secret,
      });
      const date = new Date().toUTCString();
      const signature = createHmac('sha256', secret).update(`date: ${date}`).digest('base64');
      const parts = { username, algorithm: 'hmac-sha256', headers: 'date', signature };
      const list = Object.entries(parts).map(([name, value]) => `${name}="${value}"`);
      const headers = { Date: date, Authorization: `hmac ${list.join(', ')}` };
      await assertSignsIn(storage, 'hmac-auth', { person, id, headers });
    });

    test(`S-095 ${storage}: what proxy-cache keeps gives nobody somebody else's cookie`, async (t) => {
      const missing = await missingPlugin(scene, 'proxy-cache');
      if (missing !== undefined) return t.skip(missing);
      const config = {
        strategy: 'memory',
        content_type: ['application/json'],
        cache_control: true,
        cache_ttl: 60,
      };
      const plugins = [{ name: 'proxy-cache', config }];
      const site = await scene.setUp({ storage }, { plugins });
      const headers = { apikey: scene.alice.keys[0].key };
      const first = await site.browser().ask({ path: '/cached', headers });
      assert.equal(first.setCookies.length, 1);
      for (const person of [scene.alice, scene.bob]) {
        const own = { apikey: person.keys[0].key };
        const reply = await site.browser().ask({ path: '/cached', headers: own });
        assertOk(reply, person);
        assert.equal(reply.setCookies.length, 1);
        assert.notEqual(reply.setCookies[0], first.setCookies[0]);
      }
    });
  }

  /** With `headers` the plugin knows the person, and from then on the cookie is enough. */
  async function assertSignsIn(
    storage: string,
    plugin: string,
    { person, id, headers }: { person: Person; id: string; headers: Record<string, string> },
  ): Promise<void> {
    const plugins = [{ name: plugin, config: { anonymous: scene.anonymous } }];
    // key-auth as well, which the set-up's own requests use.
    const site = await scene.setUp({ storage }, { plugins });
    const browser = site.browser();
    const reply = await browser.ask({ headers });
    assertOk(reply, person);
    assert.equal(reply.setCookies.length, 1);
    const later = await browser.get();
    assertOk(later, person);
    assertNoSet(later);
    assert.equal(echoOf(later).headers['x-credential-identifier'], id);
    assertDenied(await site.browser().ask({ headers: { Authorization: 'Bearer x.y.z' } }));
  }

  /** Over HTTP/1.1: the answer's status and the echo server's first message. */
  function openWebSocket(
    site: Site,
    headers: Readonly<Record<string, string>>,
  ): Promise<{ status: number; echo: Echo | undefined }> {
    const { hostname, port } = new URL(scene.kong.nodes[0].proxyUrl);
    const lines = Object.entries({
      Host: site.host,
      Connection: 'Upgrade',
      Upgrade: 'websocket',
      'Sec-WebSocket-Version': '13',
      'Sec-WebSocket-Key': randomBytes(16).toString('base64'),
      ...headers,
    }).map(([name, value]) => `${name}: ${value}\r\n`);
    return new Promise((resolve, reject) => {
      let answer = '';
      const socket = connect(Number(port), hostname, () => {
        socket.write(`GET /socket HTTP/1.1\r\n${lines.join('')}\r\n`);
      });
      socket.setTimeout(10_000, () => socket.destroy(new Error('no answer within 10 s')));
      socket.once('error', reject);
      socket.on('data', (chunk) => {
        answer += chunk.toString('latin1');
        const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1]);
        // The message is JSON in one frame; what stands before it and after it is not.
        const [message] = /\{"method".*\}/s.exec(answer) ?? [];
        if (status === 101 && message === undefined) return;
        socket.destroy();
        resolve({
          status,
          echo: message === undefined ? undefined : (JSON.parse(message) as Echo),
        });
      });
    });
  }
});
