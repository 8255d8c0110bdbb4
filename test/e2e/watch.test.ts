import assert from 'node:assert/strict';
import { request } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { assertDenied, assertOk } from './support/assertions.ts';
import { endpointOf, scrape } from './support/endpoint.ts';
import { isRealKong } from './support/environment.ts';
import { Scene } from './support/scene.ts';
import type { Site } from './support/scene.ts';
import { until } from './support/waiting.ts';

const skip = isRealKong ? 'only the stand-in starts the server with our flags' : false;

describe('the endpoint', { skip }, () => {
  let scene: Scene;
  let site: Site;
  let url: string;

  before(async () => {
    scene = await Scene.open({ serverFlags: ['--http', '127.0.0.1:0'] });
    site = await scene.setUp({ storage: 'kong' });
    const [gateway] = scene.kong.gateways;
    assert.ok(gateway);
    url = await endpointOf(gateway);
  });
  after(() => scene.close());

  const get = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
    new Promise<{ status: number; headers: object; body: string }>((resolve, reject) => {
      const asked = request(`${url}${path}`, { method, headers }, (response) => {
        let body = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
        response.on('end', () => {
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body });
        });
      });
      asked.on('error', reject).end();
    });

  /** What `work` added to a counter. */
  async function added(work: () => Promise<unknown>) {
    const earlier = await scrape(url);
    await work();
    const later = await scrape(url);
    const difference = (name: string, labels?: Record<string, string>) =>
      later.value(name, labels) - (earlier.value(name, labels) || 0); // NaN: nothing was counted yet
    return { later, difference };
  }

  const visitor = () => site.browser();

  test('requests are counted by what became of them', async () => {
    const { browser } = await site.signIn(scene.alice);
    const { difference } = await added(async () => {
      for (let i = 0; i < 3; i++) assertOk(await browser.get(), scene.alice);
      assertDenied(await visitor().get());
      const cookie = browser.cookies();
      const forged = cookie.slice(0, -8) + (cookie.endsWith('AAAAAAAA') ? 'BBBBBBBB' : 'AAAAAAAA');
      assertDenied(await visitor().ask({ cookie: forged }));
      await browser.ask({ method: 'DELETE', path: '/?session_logout=true' });
      assertDenied(await visitor().ask({ cookie }));
    });
    const counts = ['pass', 'deny_missing', 'deny_invalid', 'logout', 'deny_revoked'].map(
      (result) => difference('session_guard_requests_total', { result }),
    );
    assert.deepEqual(counts, [3, 1, 1, 1, 1]);
    assert.equal(difference('session_guard_request_duration_seconds_count'), 7);
    assert.equal(difference('session_guard_events_total', { code: 'session_ended' }), 1);
    assert.equal(difference('session_guard_store_query_duration_seconds_count', { op: 'end' }), 1);
  });

  test('a session that is over by time is told from one that was ended', async () => {
    const brief = await scene.setUp({ storage: 'kong', idling_timeout: 2 });
    const { cookie } = await brief.signIn(scene.alice);
    await new Promise((resolve) => setTimeout(resolve, 2500));
    const { difference } = await added(async () =>
      assertDenied(await brief.browser().ask({ cookie })),
    );
    assert.equal(difference('session_guard_requests_total', { result: 'deny_expired' }), 1);
  });

  test('a renewal is won once', async () => {
    const renewing = await scene.setUp({ storage: 'kong', rolling_timeout: 8, cookie_renew: 4 });
    const { browser } = await renewing.signIn(scene.alice);
    await new Promise((resolve) => setTimeout(resolve, 4500));
    const { difference } = await added(async () => assertOk(await browser.get(), scene.alice));
    assert.equal(difference('session_guard_renewals_total', { result: 'won' }), 1);
    assert.equal(difference('session_guard_renewals_total', { result: 'lost' }), 0);
    assert.equal(difference('session_guard_requests_total', { result: 'renew' }), 1);
  });

  test('the state of cache, pool, listener and process is told', async () => {
    const { browser } = await site.signIn(scene.alice);
    await until('a healthy listener', async () => {
      return (await scrape(url)).value('session_guard_bus_connected') === 1;
    });
    const { later, difference } = await added(async () => {
      for (let i = 0; i < 2; i++) assertOk(await browser.get(), scene.alice);
    });
    assert.ok(difference('session_guard_cache_hits') >= 1);
    const { schema } = scene.postgres;
    for (const [name, least] of [
      ['session_guard_cache_entries', 1],
      ['session_guard_cache_misses', 1],
      ['session_guard_pool_size', 10],
      ['session_guard_bus_lag_seconds', 0],
      ['session_guard_bus_reconnects_total', 0],
      ['session_guard_revocations_received_total', 0],
      ['session_guard_prune_lag_seconds', 0],
      ['session_guard_sessions_active', 0],
    ] as const) {
      assert.ok(later.value(name, { schema }) >= least, name);
    }
    assert.ok(later.value('session_guard_pool_connections', { state: 'idle' }) >= 1);
    assert.ok(later.value('session_guard_event_loop_lag_seconds', { quantile: '0.99' }) >= 0);
    assert.ok(later.value('process_resident_memory_bytes') > 1e6);
    assert.equal(later.value('session_guard_build_info', { node: process.versions.node }), 1);
  });

  test('nothing in the metrics tells who anybody is', async () => {
    const { browser, cookie } = await site.signIn(scene.alice);
    await browser.get();
    const { text } = await scrape(url);
    const rows = await scene.rows<{ handle: string; family: string }>(
      'select handle, family from :SCHEMA.sessions',
    );
    assert.ok(rows.length > 0);
    const { id, username, keys } = scene.alice;
    const secrets = [cookie.split('=')[1] ?? '', id, username, keys[0].key, site.host];
    for (const word of [...secrets, ...rows.flatMap(({ handle, family }) => [handle, family])]) {
      assert.ok(word.length > 4 && !text.includes(word), word);
    }
  });

  test('health: the process answers, and so do the databases in use', async () => {
    assert.deepEqual(await get('/healthz').then(({ status, body }) => [status, body]), [
      200,
      'ok\n',
    ]);
    await until('ready', async () => (await get('/readyz')).status === 200);
    const { body } = await get('/readyz');
    const { schema } = scene.postgres;
    assert.deepEqual(JSON.parse(body), {
      status: 'ready',
      databases: [{ schema, database: 'ok', listener: 'ok' }],
    });
  });

  test('what is not there, not meant or not ours is refused', async () => {
    const statuses = await Promise.all([
      get('/'),
      get('/console'),
      get('/metrics', {}, 'PUT'),
      get('/metrics', {}, 'POST'),
      get('/metrics', { Host: 'rebound.example' }),
      get('/metrics', { Host: 'localhost:1' }),
    ]);
    assert.deepEqual(
      statuses.map(({ status }) => status),
      [404, 404, 405, 404, 421, 200],
    );
    const head = await get('/metrics', {}, 'HEAD');
    assert.equal(head.body, '');
    assert.match(JSON.stringify(head.headers), /"cache-control":"no-store"/);
  });
});
