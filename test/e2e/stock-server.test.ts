import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Browser } from '../support/client.ts';
import { startGateway } from '../support/gateway/index.ts';
import type { Gateway } from '../support/gateway/index.ts';
import { until } from '../support/nodes.ts';
import { startPostgres } from '../support/postgres.ts';
import type { Postgres } from '../support/postgres.ts';
import { isRequest, Provider } from '../support/provider.ts';
import { createSites, KEY, signInAndOut, SITES } from '../support/sites.ts';
import { createCertificate } from '../support/tls.ts';
import { startUpstream } from '../support/upstream.ts';
import { STRANGE_REQUESTS } from './support/places.ts';

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
  let provider: Provider;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'session-guard-stock-'));
    postgres = await startPostgres();
    upstream = await startUpstream();
    provider = await Provider.open();
    const env = `/usr/bin/env OTEL_BSP_SCHEDULE_DELAY=50 NODE_OPTIONS=--require=${provider.module}`;
    gateway = await startGateway({
      tls: await createCertificate(),
      server: {
        socketPath: join(folder, 'stock.sock'),
        queryCmd: `${STOCK} --dump-all-plugins`,
        startCmd: `${env} ${STOCK} --kong-prefix ${folder} --sock-name stock.sock`,
      },
    });
    const databaseUrl = await postgres.newDatabase();
    await createSites(gateway.adminUrl, { upstreamUrl: upstream.url, databaseUrl });
  });

  after(async () => {
    await gateway.stop();
    await upstream.close();
    await postgres.stop();
    await provider.close();
    await rm(folder, { recursive: true, force: true });
  });

  for (const [storage, host] of Object.entries(SITES)) {
    test(`sign in, stay in, sign out with storage ${storage}`, () => signInAndOut(gateway, host));
  }

  test('requests are spans of the provider that Node has loaded before', async () => {
    await signInAndOut(gateway, SITES.kong);
    await until(async () => {
      const results = (await provider.spans())
        .filter(isRequest)
        .map(({ attributes }) => attributes);
      return results.some((attributes) => attributes['session_guard.result'] === 'logout');
    });
  });

  test('what a client sends does not end the server', async () => {
    const pid = gateway.serverPid();
    const browser = new Browser(gateway, SITES.kong);
    await browser.ask({ headers: { apikey: KEY } });
    for (const ask of STRANGE_REQUESTS) {
      const what = JSON.stringify(ask).slice(0, 300);
      assert.equal((await browser.ask(ask)).status, 200, what);
    }
    assert.equal(gateway.serverPid(), pid);
  });
});
