import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Cleanup } from '../e2e/support/cleanup.ts';
import { inParallel, until } from '../e2e/support/waiting.ts';
import { query } from '../support/chaos/sql.ts';
import { startPostgres } from '../support/postgres.ts';
import { isOurAnswer, ServerNode, type ServerRoute } from '../support/server-node.ts';
import { SECRET } from '../support/visitor.ts';
import { type Figure, main, type Program, type Settings } from './program.ts';
import { cookieOf, insist, signIn } from './races-requests.ts';
import { buildReleases } from './upgrade-releases.ts';

const LANES = 8;

export const program: Program = {
  name: 'upgrade',
  claim:
    'Releases share the tables while one replaces the other; tables that a release cannot work with are refused.',
  counts: 'people with sessions',
  defaultCount: 200,
  run({ count }: Settings) {
    const cleanup = new Cleanup();
    return cleanup.around(async () => {
      const figures = await replaceOneByOne(count, cleanup);
      await cleanup.run();
      return figures;
    });
  },
};

interface Person {
  readonly id: string;
  cookies: string;
}

interface Node {
  readonly server: ServerNode;
  readonly route: ServerRoute;
}

/** From the release before this one to one that changes too much. */
async function replaceOneByOne(count: number, cleanup: Cleanup): Promise<Figure[]> {
  const postgres = await startPostgres();
  cleanup.defer(() => postgres.stop());
  const url = await postgres.newDatabase();
  const releases = await buildReleases();
  cleanup.defer(() => releases.close());
  const start = async (path: string, fields: object = {}): Promise<Node> => {
    const server = await ServerNode.start(path);
    cleanup.defer(() => server.stop());
    const settings = { secret: SECRET, storage: 'kong', cache_ttl: 0 };
    return { server, route: await server.route({ ...settings, postgres: { url, ...fields } }) };
  };
  const older = await start(releases.older);
  const people = await inParallel(Array.from({ length: count }), LANES, () => newcomer(older));
  const figures = [await migrationsOf(url, 'tables of the older release', releases.last - 1)];
  // What came with the last migration is used from now on.
  const present = await start(releases.present, { audit_retention: 3600 });
  figures.push(
    ...(await share(url, 'this release beside the older one', people, [older, present])),
  );
  figures.push(await migrationsOf(url, 'tables of this release', releases.last));
  figures.push(await auditOf(url));
  const newer = await start(releases.newer);
  const all = [newer, present, older];
  figures.push(...(await share(url, 'both beside a newer one', people, all)));
  figures.push(await migrationsOf(url, 'tables of the newer release', releases.last + 1));
  await newer.server.stop();
  figures.push(...(await share(url, 'the newer one taken back', people, [older, present])));
  const breaking = await start(releases.breaking);
  figures.push(...(await refuse(people, breaking, [older, present])));
  const late = await start(releases.present);
  figures.push(
    ...(await refuse(people, breaking, [late])).map((one) => ({
      ...one,
      name: `started afterwards: ${one.name}`,
    })),
  );
  return figures;
}

async function newcomer({ route }: Node): Promise<Person> {
  const id = randomUUID();
  return { id, cookies: cookieOf(await signIn(route, { id })) ?? '' };
}

async function migrationsOf(url: string, name: string, expected: number): Promise<Figure> {
  const rows = await query(url, 'select from session_guard.migrations');
  return { name: `migrations, ${name}`, value: rows.length, atLeast: expected, atMost: expected };
}

/** Lines are written in batches, a little later. */
async function auditOf(url: string): Promise<Figure> {
  const lines = await until('an audit', async () => {
    const rows = await query(url, 'select from session_guard.audit');
    return rows.length > 0 && rows.length;
  });
  return { name: 'lines in the table that the older release lacks', value: lines, atLeast: 1 };
}

interface Tally {
  served: number;
  refused: number;
  wrong: number;
  renewed: number;
  revived: number;
  repeated: number;
}

/** Everybody is renewed and served by every node, and somebody comes and goes at each of them. */
async function share(
  url: string,
  name: string,
  people: readonly Person[],
  nodes: readonly Node[],
): Promise<Figure[]> {
  const tally: Tally = { served: 0, refused: 0, wrong: 0, renewed: 0, revived: 0, repeated: 0 };
  await query(
    url,
    `update session_guard.sessions set renewed_at = renewed_at - interval '50 minutes'`,
  );
  await inParallel(people, LANES, async (person, index) => {
    for (const node of rotated(nodes, index)) await visit(node, person, tally);
    await comeAndGo(rotated(nodes, index), tally);
  });
  const { length } = people;
  const figure = (what: string, value: number, bounds: Partial<Figure> = {}): Figure => ({
    name: `${name}: ${what}`,
    value,
    ...bounds,
  });
  return [
    figure('requests served', tally.served, { atLeast: length * nodes.length }),
    figure('signed out', tally.refused, { atMost: 0 }),
    figure('served as somebody else', tally.wrong, { atMost: 0 }),
    figure('renewals', tally.renewed, { atLeast: length }),
    figure('served after their sign-out', tally.revived, { atMost: 0 }),
    figure('times a 503 had to be asked again', tally.repeated),
  ];
}

/** From another beginning, so that each node is the first for some. */
const rotated = <T>(list: readonly T[], by: number): readonly T[] => [
  ...list.slice(by % list.length),
  ...list.slice(0, by % list.length),
];

async function visit({ route }: Node, person: Person, tally: Tally): Promise<void> {
  const reply = await insist(route, { cookies: person.cookies });
  tally.repeated += reply.refusals;
  if (reply.consumerId === person.id) tally.served++;
  else if (reply.consumerId === undefined) tally.refused++;
  else tally.wrong++;
  const renewed = cookieOf(reply);
  if (renewed === undefined) return;
  tally.renewed++;
  person.cookies = renewed;
}

/** A sign-in at the first node, a sign-out at the last, and after it nobody knows the cookie. */
async function comeAndGo(nodes: readonly Node[], tally: Tally): Promise<void> {
  const person = await newcomer(nodes[0]!);
  for (const node of nodes) await visit(node, person, tally);
  const target = '/?session_logout=true';
  const { cookies } = person;
  const reply = await insist(nodes.at(-1)!.route, { method: 'DELETE', target, cookies });
  if (!isOurAnswer(reply)) throw new Error(`no sign-out, but ${reply.status}`);
  for (const { route } of nodes) {
    if ((await insist(route, { cookies })).consumerId !== undefined) tally.revived++;
  }
}

/** The breaking release serves, the others have to find out and close. */
async function refuse(
  people: readonly Person[],
  breaking: Node,
  others: readonly Node[],
): Promise<Figure[]> {
  const served = await inParallel(people, LANES, async ({ id, cookies }) => {
    return (await insist(breaking.route, { cookies })).consumerId === id;
  });
  const [first] = people;
  for (const { route } of others) {
    await until('a refusal', async () => (await route.ask(first)).status === 503);
  }
  const replies = await inParallel(people, LANES, ({ cookies }) =>
    Promise.all(others.map(({ route }) => route.ask({ cookies }))),
  );
  await sleep(100); // what was logged last is on its way
  const lines = others.flatMap(({ server }) => server.log.filter(isRefusal));
  const { length } = replies.flat();
  return [
    {
      name: 'breaking change: served by the release that made it',
      value: served.filter(Boolean).length,
      atLeast: people.length,
    },
    {
      name: 'breaking change: passed by other releases',
      value: replies.flat().filter(({ status, consumerId }) => status === 200 || consumerId).length,
      atMost: 0,
    },
    {
      name: 'breaking change: refused by other releases with 503',
      value: replies.flat().filter(({ status }) => status === 503).length,
      atLeast: length,
    },
    {
      name: 'breaking change: lines that say what to do, one for each of the others',
      value: lines.length,
      atLeast: others.length,
      atMost: others.length,
    },
  ];
}

const isRefusal = (line: { event?: string }): boolean =>
  line.event === 'tables_not_ready' &&
  /changed by a newer version.*upgrade/.test(JSON.stringify(line));

await main(import.meta.url, program);
