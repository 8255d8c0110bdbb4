import { setTimeout as sleep } from 'node:timers/promises';
import { keyOf } from '../e2e/support/forger.ts';
import { inParallel, until } from '../e2e/support/waiting.ts';
import { insist } from '../support/chaos/crowd.ts';
import { Load, type Sample, type Shot } from '../support/chaos/load.ts';
import { query } from '../support/chaos/sql.ts';
import type { Outcome } from '../support/chaos/stage.ts';
import type { Figure } from './program.ts';
import {
  configure,
  forgerWith,
  type Member,
  newSecret,
  visit,
  type World,
} from './rotation-world.ts';

/** Requests a second. */
const RATE = 50;
/** Milliseconds for which nodes differ. */
const PAUSE = 300;
/** Requests at a time, besides the load. */
const WIDTH = 4;

interface Tally {
  /** Cookies that came back under the newest secret. */
  reissued: number;
  /** Tokens that were genuine but for their secret, by what became of them. */
  forged: number;
  accepted: number;
  /** The same under the secret that seals: without these a refusal would prove nothing. */
  genuine: number;
  honoured: number;
}

/** Replaces all secrets so many times, while everybody goes on. */
export async function rotate(world: World, rounds: number): Promise<Figure[]> {
  const tally: Tally = { reissued: 0, forged: 0, accepted: 0, genuine: 0, honoured: 0 };
  const samples: Sample[] = [];
  let secret = world.secret;
  for (let round = 0; round < rounds; round++) {
    secret = await replace(world, secret, tally, samples);
  }
  const kept = await keptBy(world);
  return [...figuresOf(world, samples, tally, rounds), kept];
}

/** Works while requests come; resolves when the last of them is answered. */
async function underLoad(
  world: World,
  samples: Sample[],
  work: () => Promise<void>,
): Promise<void> {
  const load = new Load(RATE, shots(world)).start();
  try {
    await work();
  } finally {
    await load.stop();
    samples.push(...load.samples);
  }
}

/** Who is still signed in, at each of the nodes. */
async function keptBy(world: World): Promise<Figure> {
  const visits = world.members.flatMap((member) =>
    world.nodes.map((_, node) => () => visit(world, member, node)),
  );
  const outcomes = await inParallel(visits, WIDTH, (ask) => insist(ask));
  const value = outcomes.filter((outcome) => outcome === 'served').length;
  return { name: 'served in the end, each member at each node', value, atLeast: visits.length };
}

/** Of eleven requests one is a sign-in, the others are the members' at all nodes. */
function shots(world: World): Shot {
  const { nodes, members } = world;
  return async (index) => {
    const member = members[index % members.length]!;
    const node = Math.floor(index / members.length) % nodes.length;
    if (index % 11 !== 0) return { kind: 'session', outcome: await visit(world, member, node) };
    const ask = { cookie: '', headers: { apikey: member.person.key } };
    return { kind: 'key', outcome: await visit(world, member, node, ask) };
  };
}

/** From one secret by two steps to the third; in the end the two before it are gone. */
async function replace(
  world: World,
  first: string,
  tally: Tally,
  samples: Sample[],
): Promise<string> {
  const [second, third] = [newSecret(), newSecret()];
  const { nodes } = world;
  const wait = () => sleep(PAUSE);
  await underLoad(world, samples, async () => {
    await configure(nodes, [first, second, third], wait);
    await configure(nodes, [second, first, third], wait);
    await configure(nodes, [third, second, first], wait);
  });
  // Everybody comes back once more before the old secrets go: their cookies may be of a moment when nodes differed.
  for (const member of world.members) {
    await insist(() => visit(world, member, 0));
    tally.reissued += Number(isUnder(member, third));
  }
  await underLoad(world, samples, async () => {
    const ids = await idsOf(world, third);
    await outliveLifetime(world, [...ids.values()]);
    await configure(nodes, [third], wait);
    for (const removed of [first, second]) {
      tally.forged += ids.size * nodes.length;
      tally.accepted += await acceptedUnder(world, removed, ids);
    }
    tally.genuine += ids.size * nodes.length;
    tally.honoured += await acceptedUnder(world, third, ids);
  });
  return third;
}

/** Whether the browser holds a token that this secret has sealed. */
function isUnder({ browsers: [browser] }: Member, secret: string): boolean {
  const header = Buffer.from(browser!.cookie().split('.')[0]!, 'base64url').toString();
  return (JSON.parse(header) as { kid: string }).kid === forgerWith(secret).kid();
}

async function idsOf({ members }: World, secret: string): Promise<Map<Member, string>> {
  const forger = forgerWith(secret);
  const ids = new Map<Member, string>();
  for (const member of members) ids.set(member, await forger.idIn(member.browsers[0]!.cookie()));
  return ids;
}

/**
 * The documentation has the old secrets stay for the longest lifetime, an hour here: the last quarter of it begins for
 * every session, so that all are renewed, which seals their rows anew.
 */
async function outliveLifetime({ url }: World, ids: readonly string[]): Promise<void> {
  const keys = ids.map(keyOf);
  await query(
    url,
    `update session_guard.sessions set renewed_at = renewed_at - interval '50 minutes' where key = any($1)`,
    [keys],
  );
  await until('renewals', async () => {
    const renewed = await query(
      url,
      `select from session_guard.sessions where key = any($1) and renewed_at > now() - interval '45 minutes'`,
      [keys],
    );
    return renewed.length === keys.length;
  });
}

/** How many tokens of living sessions, sealed with this secret, are taken by the nodes. */
async function acceptedUnder(
  world: World,
  secret: string,
  ids: ReadonlyMap<Member, string>,
): Promise<number> {
  const forger = forgerWith(secret);
  const outcomes = await inParallel([...ids], WIDTH, async ([member, id]) => {
    const [row] = await query<{ generation: number }>(
      world.url,
      'select generation from session_guard.sessions where key = $1',
      [keyOf(id)],
    );
    const cookie = `session=${forger.seal({ v: 1, s: [['default', id, row?.generation]] })}`;
    return Promise.all(
      world.nodes.map((_, node) => insist(() => visit(world, member, node, { cookie }))),
    );
  });
  return outcomes.flat().filter((outcome) => outcome === 'served').length;
}

function figuresOf(
  { members }: World,
  samples: readonly Sample[],
  tally: Tally,
  rounds: number,
): Figure[] {
  const count = (outcome: Outcome, kinds: readonly string[] = ['session', 'key']) =>
    samples.filter((sample) => kinds.includes(sample.kind) && sample.outcome === outcome).length;
  return [
    {
      name: 'requests of sessions served meanwhile',
      value: count('served', ['session']),
      atLeast: rounds,
    },
    { name: 'signed out', value: count('refused', ['session']), atMost: 0 },
    { name: 'sign-ins refused', value: count('refused', ['key']), atMost: 0 },
    {
      name: 'served as somebody else',
      value: count('wrong'),
      atMost: 0,
    },
    { name: 'answered 5xx', value: count('unavailable') },
    {
      name: 'cookies that came under a fallback and were sealed anew',
      value: tally.reissued,
      atLeast: members.length * rounds,
    },
    { name: 'tokens under a removed secret', value: tally.forged, atLeast: rounds },
    { name: 'tokens under a removed secret accepted', value: tally.accepted, atMost: 0 },
    {
      name: 'the same under the secret in force, accepted',
      value: tally.honoured,
      atLeast: tally.genuine,
    },
  ];
}
