import { randomBytes } from 'node:crypto';
import { CookieJar } from 'tough-cookie';
import { Cleanup } from '../e2e/support/cleanup.ts';
import { Forger } from '../e2e/support/forger.ts';
import { type Outcome, type Person, type Protocol, Stage } from '../support/chaos/stage.ts';
import { type Ask, Browser } from '../support/client.ts';
import { createTables } from '../support/nodes.ts';
import { startPostgres } from '../support/postgres.ts';

const NODES = 2;
const PEOPLE = 20;
const HOST = 'app.test';
const REALM = 'session kong session_guard';

/** The first seals, the others open. */
export type Ring = readonly [string, ...string[]];

export const newSecret = (): string => randomBytes(32).toString('base64');

export const forgerWith = (secret: string): Forger => new Forger(secret, REALM);

/** Somebody with one browser, whose requests go to any node. */
export interface Member {
  readonly person: Person;
  readonly browsers: readonly Browser[];
}

/** Nodes with an Admin API each, so that they learn of another configuration one after the other. */
export interface World {
  readonly url: string;
  /** What all nodes began with. */
  readonly secret: string;
  readonly nodes: readonly Stage[];
  readonly members: readonly Member[];
  close(): Promise<void>;
}

export function openWorld(protocol: Protocol): Promise<World> {
  const cleanup = new Cleanup();
  return cleanup.around(async () => {
    const postgres = await startPostgres();
    cleanup.defer(() => postgres.stop());
    const url = await postgres.newDatabase();
    await createTables(url);
    const secret = newSecret();
    const config = { storage: 'kong', postgres: { url }, cache_ttl: 1, secret };
    const nodes: Stage[] = [];
    for (let index = 0; index < NODES; index++) {
      const node = await Stage.open({ protocol, config });
      cleanup.defer(() => node.close());
      nodes.push(node);
    }
    const members = await gather(nodes);
    return { url, secret, nodes, members, close: () => cleanup.run() };
  });
}

async function gather(nodes: readonly Stage[]): Promise<Member[]> {
  const [first, ...others] = nodes;
  if (first === undefined) throw new TypeError('no node');
  const members: Member[] = [];
  for (const person of await first.people(PEOPLE)) {
    for (const other of others) await introduce(other, person);
    const jar = new CookieJar();
    const browsers = nodes.map(({ gateway }) => new Browser(gateway, HOST, jar));
    await first.signIn(person, browsers[0]);
    members.push({ person, browsers });
  }
  return members;
}

/** The same consumer, as every node of one Kong knows it. */
async function introduce({ admin }: Stage, { id, key }: Person): Promise<void> {
  await admin.create('/consumers', { id, username: id });
  await admin.create(`/consumers/${id}/key-auth`, { key });
}

/** Each node after the other, with some requests in between. */
export async function configure(
  nodes: readonly Stage[],
  [secret, ...fallbacks]: Ring,
  between: () => Promise<unknown>,
): Promise<void> {
  for (const { admin, plugin } of nodes) {
    const config = { secret, secret_fallbacks: fallbacks };
    await admin.change(`/plugins/${plugin.id}`, { config });
    await between();
  }
}

/** A member's request to one of the nodes. */
export async function visit(
  { nodes }: World,
  { person, browsers }: Member,
  node: number,
  ask: Pick<Ask, 'cookie' | 'headers'> = {},
): Promise<Outcome> {
  const reply = await browsers[node]!.ask({ scheme: 'http', ...ask });
  return nodes[node]!.judge(reply, person);
}
