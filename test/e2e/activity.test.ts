import assert from 'node:assert/strict';
import { Agent, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { type Ask, echoOf, isDeletion } from '../support/client.ts';
import { assertDenied, assertNoSet, assertOk, nameIn } from './support/assertions.ts';
import { Scene, type Site } from './support/scene.ts';
import { Clock } from './support/waiting.ts';

const STORAGES = ['kong', 'cookie'] as const;

describe('what a use of a session means', { concurrency: 16 }, () => {
  let scene: Scene;
  before(async () => {
    scene = await Scene.open();
  });
  after(() => scene.close());

  for (const storage of STORAGES) {
    test(`S-027 ${storage}: the last use is kept now and then, not with every request`, async () => {
      const config = { storage, touch_interval: 3, response_headers: ['id'] };
      const site = await scene.setUp(config);
      const { browser, reply } = await site.signIn(scene.alice);
      const clock = new Clock();
      let sent = 0;
      for (let step = 1; step <= 16; step++) {
        await clock.at(step / 2);
        const answer = await browser.get();
        assertOk(answer, scene.alice);
        assert.equal(answer.headers['session-id'], reply.headers['session-id']);
        sent += answer.setCookies.length;
      }
      // With storage kong the table knows of it.
      const most = storage === 'kong' ? 0 : Math.ceil(clock.elapsed / 3);
      assert.ok(sent <= most, `${sent} cookies in ${clock.elapsed} s`);
    });

    test(`S-027 ${storage}: whoever is active stays in, however seldom uses are to be written`, async () => {
      const site = await scene.setUp({ storage, idling_timeout: 4, touch_interval: 3600 });
      const { browser } = await site.signIn(scene.alice);
      const clock = new Clock();
      for (let step = 1; step <= 7; step++) {
        await clock.at(step);
        assertOk(await browser.get(), scene.alice, `after ${step} s`);
      }
      await clock.at(12.5);
      assertDenied(await browser.get());
    });

    for (const [name, config, poll] of [
      ['path', { idle_exempt_paths: ['/poll', '/live/'] }, { path: '/poll?x=1' }],
      ['header', { idle_exempt_header: 'X-Background' }, { headers: { 'x-background': '1' } }],
      ['empty header', { idle_exempt_header: 'X-Background' }, { headers: { 'x-background': '' } }],
    ] as const) {
      test(`idle_exempt ${storage}: polling by ${name} is answered and prolongs nothing`, async () => {
        const site = await scene.setUp({ storage, idling_timeout: 4, ...config });
        const idle = (await site.signIn(scene.alice)).browser;
        const active = (await site.signIn(scene.bob)).browser;
        const clock = new Clock();
        const first = await idle.ask(poll);
        assertOk(first, scene.alice);
        assertNoSet(first);
        let reply = first;
        for (let next = 0.5; reply.status === 200; next += 0.5) {
          assert.ok(clock.elapsed < 12, 'polling keeps nobody signed in');
          await clock.at(next);
          assertOk(await active.get(), scene.bob);
          reply = await idle.ask(poll);
          assert.ok(reply.setCookies.every(isDeletion));
        }
        assertDenied(reply);
        assertOk(await active.ask(poll), scene.bob);
      });
    }

    test(`idle_exempt ${storage}: what is told of idle time counts from the last use`, async () => {
      const told = { response_headers: ['idling-timeout'], request_headers: ['timeout'] };
      const config = { storage, idling_timeout: 60, idle_exempt_paths: ['/poll'], ...told };
      const site = await scene.setUp(config);
      const { browser } = await site.signIn(scene.alice);
      await new Clock().at(2.6);
      const poll = await browser.get('/poll');
      const left = Number(poll.headers['session-idling-timeout']);
      assert.ok(left > 0 && left <= 58, `${left} s`);
      const upstream = Number(echoOf(poll).headers['session-timeout']);
      assert.ok(Math.abs(upstream - left) <= 1, `the upstream is told ${upstream} s`);
      assert.equal((await browser.get()).headers['session-idling-timeout'], '60');
    });

    test(`idle_exempt ${storage}: nor does it renew`, async () => {
      const config = { storage, rolling_timeout: 12, idle_exempt_paths: ['/poll'] };
      const site = await scene.setUp({ ...config, idling_timeout: 0 });
      const { browser } = await site.signIn(scene.alice);
      const clock = new Clock();
      await clock.at(9.8);
      assertNoSet(await browser.get('/poll'));
      const renewal = await browser.get('/');
      assertOk(renewal, scene.alice);
      assert.equal(renewal.setCookies.length, 1);
    });

    test(`bind ${storage}: a session belongs to the user agent that began it`, async () => {
      const site = await scene.setUp({ storage, bind: ['user-agent'] });
      const browser = site.browser();
      const mine = { 'User-Agent': 'mine' };
      const apikey = scene.alice.keys[0].key;
      assertOk(await browser.ask({ headers: { ...mine, apikey } }), scene.alice);
      assertOk(await browser.ask({ headers: mine }), scene.alice);
      const others: NonNullable<Ask['headers']>[] = [
        { 'User-Agent': 'theirs' },
        { 'User-Agent': 'Mine' },
        {},
      ];
      const logout = { method: 'DELETE', path: '/?session_logout=true' };
      for (const headers of others) {
        const denied = await browser.ask({ headers });
        assertDenied(denied);
        assertNoSet(denied);
        assertDenied(await browser.ask({ ...logout, headers }), 'nor can they end it');
      }
      assertOk(await browser.ask({ headers: mine }), scene.alice);
    });

    test(`bind ${storage}: to the scheme`, async () => {
      const site = await scene.setUp({ storage, bind: ['scheme'] });
      const { cookie, browser } = await site.signIn(scene.alice);
      assertDenied(await browser.ask({ scheme: 'http', cookie }));
      assertOk(await browser.ask({ scheme: 'https', cookie }), scene.alice);
    });

    test(`bind ${storage}: to the address`, async () => {
      const site = await scene.setUp({ storage, bind: ['ip', 'scheme'] });
      const apikey = scene.alice.keys[0].key;
      const signIn = await site.browser().ask({ scheme: 'http', headers: { apikey } });
      const cookie = signIn.setCookies[0]?.split(';')[0] ?? '';
      assertOk(await site.browser().ask({ scheme: 'http', cookie }), scene.alice);
      assert.equal(await statusFrom('127.0.0.2', site, cookie), 403);
      assert.equal(await statusFrom('127.0.0.1', site, cookie), 200);
    });

    test(`bind ${storage}: without it nothing of this matters`, async () => {
      const site = await scene.setUp({ storage });
      const { cookie, browser } = await site.signIn(scene.alice);
      const headers = { 'User-Agent': 'another' };
      assertOk(await browser.ask({ scheme: 'http', cookie, headers }), scene.alice);
      assert.equal(await statusFrom('127.0.0.2', site, cookie), 200);
    });
  }

  /** A GET over HTTP from another address of this machine. */
  async function statusFrom(localAddress: string, site: Site, cookie: string): Promise<number> {
    const { hostname, port } = new URL(scene.kong.nodes[0].proxyUrl);
    const agent = new Agent();
    return new Promise((resolve, reject) => {
      const headers = { Host: site.host, Cookie: cookie };
      request({ hostname, port, localAddress, agent, headers })
        .once('error', reject)
        .once('response', (incoming) => {
          text(incoming).then(() => resolve(incoming.statusCode ?? 0), reject);
        })
        .end();
    });
  }

  test('bind cookie: the persistent cookie is bound as well', async () => {
    const site = await scene.setUp({ storage: 'cookie', bind: ['user-agent'], remember: true });
    const headers = { apikey: scene.alice.keys[0].key, 'User-Agent': 'mine' };
    const signIn = await site.browser().ask({ headers });
    const cookie = signIn.setCookies[1]?.split(';')[0] ?? '';
    const denied = await site.browser().ask({ cookie, headers: { 'User-Agent': 'theirs' } });
    assertDenied(denied);
    assertNoSet(denied);
    const restored = await site.browser().ask({ cookie, headers: { 'User-Agent': 'mine' } });
    assertOk(restored, scene.alice);
    const session = restored.setCookies[0]?.split(';')[0] ?? '';
    assertDenied(await site.browser().ask({ cookie: session }));
  });

  test('S-035 cookie: after a renewal the earlier copy is good until its own time is up', async () => {
    const config = { storage: 'cookie', rolling_timeout: 12, stale_ttl: 0, idling_timeout: 0 };
    const site = await scene.setUp(config);
    const { browser, cookie } = await site.signIn(scene.alice);
    const clock = new Clock();
    await clock.at(9.8);
    assertOk(await browser.get(), scene.alice);
    assert.notEqual(browser.cookies(), cookie);
    assertOk(await browser.get(), scene.alice);
    assert.equal(nameIn(await browser.ask({ cookie })), scene.alice.username);
    await clock.at(13.5);
    assertDenied(await browser.ask({ cookie }));
    assertOk(await browser.get(), scene.alice);
  });
});
