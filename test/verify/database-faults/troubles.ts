import { Client } from 'pg';
import { query } from '../../support/chaos/sql.ts';
import type { Trouble, World } from './world.ts';

/** Connections of somebody who takes all that the server has. */
const hogs: Client[] = [];

async function takeAll({ url }: World): Promise<void> {
  await terminate(url);
  for (;;) {
    const client = new Client({ connectionString: url, application_name: 'hog' });
    client.on('error', () => {});
    try {
      await client.connect();
      hogs.push(client);
    } catch {
      // The server is full. What the plugin got back meanwhile is taken too.
      if ((await terminateFrom(hogs[0])) === 0) return;
    }
  }
}

const TERMINATE = `select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'session-guard%'`;

const terminate = (url: string) => query(url, TERMINATE);

async function terminateFrom(client: Client | undefined): Promise<number> {
  return (await client?.query(TERMINATE))?.rowCount ?? 0;
}

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
