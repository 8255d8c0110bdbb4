import { Client } from 'pg';
import { query } from '../../support/chaos/sql.ts';
import type { Trouble, World } from './world.ts';

/** Connections of somebody who takes all that the server has. */
const hogs: Client[] = [];

const TAKING = 60_000; // milliseconds, in which the last connection must have been taken
const AT_ONCE = 20;

/** Every connection that the server gives, those that the plugin had and gets back meanwhile too. */
async function takeAll({ url }: World): Promise<void> {
  const [settings] = await query<{ max: number }>(
    url,
    "select current_setting('max_connections')::integer as max",
  );
  const until = performance.now() + TAKING;
  while (hogs.length < (settings?.max ?? NaN)) {
    if (performance.now() > until) throw new Error('the plugin keeps a connection');
    await hogs[0]?.query(TERMINATE);
    await Promise.all(Array.from({ length: AT_ONCE }, () => takeOne(url)));
  }
}

async function takeOne(url: string): Promise<void> {
  const client = new Client({ connectionString: url, application_name: 'hog' });
  client.on('error', () => {});
  await client.connect().then(
    () => hogs.push(client),
    () => {}, // the server is full
  );
}

const TERMINATE = `select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'session-guard%'`;

const terminate = (url: string) => query(url, TERMINATE);

async function giveBack(): Promise<void> {
  await Promise.all(hogs.splice(0).map((client) => client.end()));
}

const nothing = () => Promise.resolve();

export const TROUBLES: readonly Trouble[] = [
  {
    name: 'killed',
    begin: ({ postgres }) => postgres.kill(),
    end: ({ postgres }) => postgres.start(),
    isTotal: true,
  },
  {
    name: 'stopped (SIGSTOP)',
    begin: ({ postgres }) => postgres.pause(),
    end: ({ postgres }) => postgres.resume(),
    isTotal: true,
  },
  {
    name: 'restarted',
    begin: ({ postgres }) => postgres.restart(),
    end: nothing,
    isTotal: false,
  },
  {
    name: 'all our backends terminated',
    begin: async ({ url }) => void (await terminate(url)),
    end: nothing,
    isTotal: false,
  },
  {
    name: 'no connection left',
    begin: takeAll,
    end: giveBack,
    isTotal: true,
  },
  {
    name: 'two seconds slow',
    begin: async ({ network }) => network.delay(2000),
    end: async ({ network }) => network.delay(0),
    isTotal: true,
  },
];
