import { query } from '../../support/chaos/sql.ts';
import { type Postgres, startPostgres } from '../../support/postgres.ts';
import { createTables } from '../../support/nodes.ts';
import type { Figure } from '../program.ts';
import { LOGOUT } from '../../support/chaos/stage.ts';
import type { World } from './world.ts';

/** As many people as signed in, signed out or stayed around the last replication. */
const PEOPLE = 20;
const CATCH_UP = 15_000;

/**
 * The network turns to a standby that misses the latest writes: sign-ins after the last replication are unknown there,
 * and sign-outs after it never happened.
 */
export async function failOver({ network, url, stage }: World): Promise<Figure[]> {
  const [kept, left, late] = [
    await stage.people(PEOPLE),
    await stage.people(PEOPLE),
    await stage.people(PEOPLE),
  ];
  const signIn = (people: typeof kept) => Promise.all(people.map((person) => stage.signIn(person)));
  const [keptBrowsers, leftBrowsers] = [await signIn(kept), await signIn(left)];
  const standby = await startPostgres({ own: true });
  try {
    await replicate(url, standby);
    const leftCookies = leftBrowsers.map((browser) => browser.cookies());
    for (const browser of leftBrowsers) await browser.ask({ scheme: 'http', ...LOGOUT });
    const lateBrowsers = await signIn(late);
    network.retarget(standby.url);
    await untilServed(() => keptBrowsers[0]?.ask({ scheme: 'http' }));
    const outcomes = async (cookies: readonly string[], people: typeof kept) => {
      const replies = await Promise.all(cookies.map((cookie) => stage.ask({ cookie })));
      return replies.map((reply, index) => stage.judge(reply, people[index]));
    };
    const cookiesOf = (browsers: typeof keptBrowsers) => browsers.map((one) => one.cookies());
    const keptNow = await outcomes(cookiesOf(keptBrowsers), kept);
    const lateNow = await outcomes(cookiesOf(lateBrowsers), late);
    const leftNow = await outcomes(leftCookies, left);
    const are = (list: readonly string[], what: string) =>
      list.filter((one) => one === what).length;
    const name = (what: string) => `fail-over to an older copy: ${what}`;
    const wrong = are([...keptNow, ...lateNow, ...leftNow], 'wrong');
    return [
      { name: name('served as somebody else'), value: wrong, atMost: 0 },
      { name: name('sessions it has, served'), value: are(keptNow, 'served'), atLeast: PEOPLE },
      { name: name('sessions it lacks, refused'), value: are(lateNow, 'refused'), atLeast: PEOPLE },
      {
        name: name('signed out on the lost server only, served again'),
        value: are(leftNow, 'served'),
      },
    ];
  } finally {
    network.retarget(url);
    await standby.stop();
  }
}

async function untilServed(ask: () => Promise<{ status: number }> | undefined): Promise<void> {
  const end = performance.now() + CATCH_UP;
  while ((await ask())?.status !== 200) {
    if (performance.now() > end) throw new Error('nobody was served after the fail-over');
  }
}

/** A copy of the sessions, under the same name and password. */
async function replicate(url: string, standby: Postgres): Promise<void> {
  const { pathname, password } = new URL(url);
  const database = pathname.slice(1);
  await query(standby.url, `create database ${database}`);
  const copy = new URL(standby.url);
  copy.pathname = pathname;
  await createTables(copy.href);
  const rows = await query<{ row: object }>(
    url,
    'select to_jsonb(s) as row from session_guard.sessions s',
  );
  await query(
    copy.href,
    'insert into session_guard.sessions select * from jsonb_populate_recordset(null::session_guard.sessions, $1)',
    [JSON.stringify(rows.map(({ row }) => row))],
  );
  await query(standby.url, `alter role postgres password '${password}'`);
}
