import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Admin } from '../support/admin.ts';
import { Browser, echoOf } from '../support/client.ts';
import { startGateway } from '../support/gateway/index.ts';
import type { Gateway } from '../support/gateway/index.ts';
import { startPostgres } from '../support/postgres.ts';
import type { Postgres } from '../support/postgres.ts';
import { createCertificate } from '../support/tls.ts';
import { startUpstream } from '../support/upstream.ts';

const SECRET = 'Xk3v9Qp7Lr2Tz8Ws5Yb1Nc6Md4Fg0HjKEaRiUo';
const path = (relative: string) => fileURLToPath(new URL(`../../${relative}`, import.meta.url));

/** kong-pdk's own server, started as its documentation says, with the folder that the package ships. */
const STOCK = [
  process.execPath,
  path('node_modules/kong-pdk/bin/kong-js-pluginserver'),
  '-d',
  path('dist/plugins'),
].join(' ');

describe('under the stock kong-js-pluginserver', () => {
  let folder: string;
  let postgres: Postgres;
  let upstream: Awaited<ReturnType<typeof startUpstream>>;
  let gateway: Gateway;
  const hosts = { kong: 'kong.test', cookie: 'cookie.test' };

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'session-guard-stock-'));
    postgres = await startPostgres();
    upstream = await startUpstream();
    gateway = await startGateway({
      tls: await createCertificate(),
      server: {
        socketPath: join(folder, 'stock.sock'),
        queryCmd: `${STOCK} --dump-all-plugins`,
        startCmd: `${STOCK} --kong-prefix ${folder} --sock-name stock.sock`,
      },
    });
    await configure(new Admin(gateway.adminUrl), await postgres.newDatabase());
  });

  after(async () => {
    await gateway.stop();
    await upstream.close();
    await postgres.stop();
    await rm(folder, { recursive: true, force: true });
  });

  async function configure(admin: Admin, url: string): Promise<void> {
    const service = await admin.create('/services', { url: upstream.url });
    const anonymous = await admin.create('/consumers', { username: 'anonymous' });
    await admin.create(`/consumers/${anonymous.id}/plugins`, {
      name: 'request-termination',
      config: { status_code: 403 },
    });
    await admin.create('/consumers', { username: 'Zoë', custom_id: 'c-zoe' });
    await admin.create(`/consumers/${encodeURIComponent('Zoë')}/key-auth`, { key: 'k-zoe' });
    for (const [storage, host] of Object.entries(hosts)) {
      const route = await admin.create(`/services/${service.id}/routes`, { hosts: [host] });
      const plugins = `/routes/${route.id}/plugins`;
      await admin.create(plugins, { name: 'key-auth', config: { anonymous: anonymous.id } });
      await admin.create(plugins, {
        name: 'session-guard',
        config: { secret: SECRET, storage, postgres: { url } },
      });
    }
  }

  for (const [storage, host] of Object.entries(hosts)) {
    test(`sign in, stay in, sign out with storage ${storage}`, async () => {
      const browser = new Browser(gateway, host);
      assert.equal((await browser.get()).status, 403);
      const signIn = await browser.ask({ headers: { apikey: 'k-zoe' } });
      assert.equal(signIn.setCookies.length, 1);
      const visit = await browser.get();
      assert.equal(visit.status, 200);
      assert.equal(
        Buffer.from(echoOf(visit).headers['x-consumer-username'] as string, 'latin1').toString(),
        'Zoë',
      );
      const thief = browser.copy();
      const bye = await browser.ask({ method: 'DELETE', path: '/?session_logout=1' });
      assert.equal(bye.status, 200);
      assert.equal((await thief.get()).status, 403);
    });
  }

  test('what a client sends does not end the server', async () => {
    const pid = gateway.serverPid();
    const browser = new Browser(gateway, hosts.kong);
    await browser.ask({ headers: { apikey: 'k-zoe' } });
    for (const query of ['__proto__=1', '_method=x', '_method=plugin.CloseInstance']) {
      assert.equal((await browser.get(`/?${query}`)).status, 200);
    }
    assert.equal(gateway.serverPid(), pid);
  });
});
