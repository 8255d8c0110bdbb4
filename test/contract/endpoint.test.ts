import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { openEndpoint } from '../../lib/endpoint/index.ts';
import { createLog } from '../../lib/log.ts';
import { Blackhole } from '../support/blackhole.ts';
import { query } from '../support/chaos/sql.ts';
import { openTestEndpoint } from '../support/endpoint.ts';
import { HOUR, newSession, openNode, signIn, until } from '../support/nodes.ts';
import { startPostgres } from '../support/postgres.ts';
import type { Postgres } from '../support/postgres.ts';

let postgres: Postgres;
before(async () => {
  postgres = await startPostgres();
});
after(() => postgres.stop());

test('an endpoint whose port is taken says so once, and opens when the port is free', async (t) => {
  const earlier = createServer((_, response) => response.end('the server before')).listen(
    0,
    '127.0.0.1',
  );
  await once(earlier, 'listening');
  const { port } = earlier.address() as AddressInfo;
  const lines: string[] = [];
  const endpoint = openEndpoint(
    {
      address: { host: '127.0.0.1', port },
      metricsTokenFile: undefined,
      consoleTokenFile: undefined,
    },
    {},
    createLog('info', { write: (line) => void lines.push(line) }),
  );
  t.after(() => endpoint?.close());
  const events = () => lines.map((line) => (JSON.parse(line) as { event: string }).event);
  const ask = async () => {
    const reply = await fetch(`http://127.0.0.1:${port}/healthz`, {
      headers: { connection: 'close' },
    });
    return reply.text();
  };
  await until(() => lines.length > 0);
  assert.equal(await ask(), 'the server before');
  earlier.close();
  await until(() => events().includes('endpoint'));
  assert.equal(await ask(), 'ok\n');
  assert.deepEqual(events(), ['endpoint_not_bound', 'endpoint']);
});

/** A node that is ready, behind a network that may go, with an endpoint beside it. */
async function openReadyNode(url: string) {
  const network = await Blackhole.open(url);
  const bus = { heartbeat: 500, heartbeatTimeout: 400, retry: [20, 100] } as const;
  const database = { connectTimeout: 500, statementTimeout: 500 };
  const node = openNode(network.through(url), { bus, database });
  const endpoint = await openTestEndpoint();
  const readiness = async () => {
    const reply = await fetch(`${endpoint.url}/readyz`);
    return { status: reply.status, body: (await reply.json()) as { databases: object[] } };
  };
  const untilStatus = (status: number) =>
    until(async () => (await readiness()).status === status, 20_000);
  const close = async () => {
    await endpoint.close();
    await node.close();
    await network.close();
  };
  // Who is ready has found the tables, or made them.
  await until(() => signIn(node, newSession(), HOUR).catch(() => undefined), 20_000);
  await untilStatus(200);
  return { node, network, readiness, untilStatus, close };
}

test('/readyz is 503 while the database is gone, and 200 when it is back', async (t) => {
  const { network, readiness, untilStatus, close } = await openReadyNode(
    await postgres.newDatabase(),
  );
  t.after(close);
  network.swallow();
  await untilStatus(503);
  await until(async () => {
    const [state] = (await readiness()).body.databases as { database: string; listener: string }[];
    return state?.database === 'unavailable' && state.listener === 'lost';
  }, 20_000);
  network.heal();
  await untilStatus(200);
});

test('/readyz is 503 while the tables are those of a newer version', async (t) => {
  const url = await postgres.newDatabase();
  const { node, readiness, untilStatus, close } = await openReadyNode(url);
  t.after(close);
  await query(url, 'insert into session_guard.migrations (id, breaking) values (501, true)');
  await query(url, "select pg_notify('session_guard', 'schema')");
  await untilStatus(503);
  assert.deepEqual((await readiness()).body, {
    status: 'not ready',
    databases: [{ schema: node.database.schema, database: 'schema', listener: 'ok' }],
  });
  await query(url, 'delete from session_guard.migrations where id = 501');
  await untilStatus(200);
});
