import { randomUUID } from 'node:crypto';
import { Client } from 'pg';
import { startPostgres } from '../support/postgres.ts';
import { ServerNode } from '../support/server-node.ts';
import { SECRET } from '../support/visitor.ts';
import type { Insisted } from './races-requests.ts';
import { cookieOf, insist, openTokens, signIn } from './races-requests.ts';
import type { Figure, Program, Settings } from './program.ts';
import { main } from './program.ts';

const NODES = 4;
const SCHEMA = 'session_guard';

/** A compare-and-set in the store and a successor that follows from its predecessor. */
export const program: Program = {
  name: 'renewals',
  claim: 'However many requests renew a session at once, on whatever node, it has one successor.',
  counts: 'renewals of one session, all begun at once over 4 server processes',
  defaultCount: 10_000,
  run,
};

async function run({ count }: Settings): Promise<Figure[]> {
  const postgres = await startPostgres();
  const url = await postgres.newDatabase();
  const config = { secret: SECRET, storage: 'kong', postgres: { url } };
  const nodes = await ServerNode.startAll(NODES);
  try {
    const { cookie, row } = await sessionDue(url, config);
    const routes = await Promise.all(nodes.map((node) => node.route(config)));
    const start = performance.now();
    const replies = await Promise.all(
      Array.from({ length: count }, (_, i) => insist(routes[i % NODES]!, { cookies: cookie })),
    );
    const seconds = (performance.now() - start) / 1000;
    return [...(await judge(replies, await row())), told(seconds)];
  } finally {
    await Promise.all(nodes.map((node) => node.stop()));
    await postgres.stop();
  }
}

const told = (seconds: number): Figure => ({
  name: 'time for all of them',
  value: Number(seconds.toFixed(1)),
  unit: 's',
});

interface Row {
  readonly generation: number;
  readonly rows: number;
}

/** A session past its renewal mark that none of the nodes in question has ever seen. */
async function sessionDue(
  url: string,
  config: object,
): Promise<{ cookie: string; row: () => Promise<Row | undefined> }> {
  const node = await ServerNode.start();
  const route = await node.route(config);
  const consumer = { id: randomUUID(), username: 'alice' };
  const cookie = cookieOf(await signIn(route, consumer)) ?? '';
  await node.stop();
  await ask(url, `update ${SCHEMA}.sessions set renewed_at = renewed_at - interval '50 minutes'`);
  const row = async () =>
    (
      await ask<Row>(
        url,
        `select max(generation) as generation, count(*)::integer as rows from ${SCHEMA}.sessions`,
      )
    )[0];
  return { cookie, row };
}

async function ask<R extends object>(url: string, sql: string): Promise<R[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<R>(sql)).rows;
  } finally {
    await client.end();
  }
}

async function judge(replies: readonly Insisted[], row: Row | undefined): Promise<Figure[]> {
  const passed = replies.filter(({ consumerId }) => consumerId !== undefined);
  const successors = passed.flatMap((reply) => cookieOf(reply) ?? []);
  const retries = replies.reduce((sum, { refusals }) => sum + refusals, 0);
  const entries = (await openTokens(successors)).map(({ id, generation }) => `${id} ${generation}`);
  return [
    {
      name: 'successor generations in the table',
      value: row?.generation ?? NaN,
      atLeast: 1,
      atMost: 1,
    },
    { name: 'rows of the session', value: row?.rows ?? NaN, atLeast: 1, atMost: 1 },
    { name: 'requests that were not let pass', value: replies.length - passed.length, atMost: 0 },
    { name: 'answered 503 for overload, and asked again', value: retries },
    { name: 'responses that carried the successor', value: successors.length, atLeast: 1 },
    {
      name: 'different successors in responses',
      value: new Set(entries).size,
      atLeast: 1,
      atMost: 1,
    },
  ];
}

await main(import.meta.url, program);
