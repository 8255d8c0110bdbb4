import { setTimeout as sleep } from 'node:timers/promises';
import { openChannels } from '../../lib/channel.ts';
import type { Channel } from '../../lib/channel.ts';
import { parseConfig } from '../../lib/config.ts';
import type { Consumer } from '../../lib/consumers.ts';
import type { Entry } from '../../lib/token.ts';
import type { Ask, Reply, ServerRoute } from '../support/server-node.ts';
import { SECRET } from '../support/visitor.ts';

/** A reply, and how many times before it the node could not decide. */
export interface Insisted extends Reply {
  readonly refusals: number;
}

const MOST_REFUSALS = 20;
const PAUSE = 250; // milliseconds

/** A node without the time or the database to decide answers 503: then asks again, as `Retry-After` tells clients to. */
export async function insist(route: ServerRoute, ask: Ask): Promise<Insisted> {
  for (let refusals = 0; ; refusals++) {
    const reply = await route.ask(ask);
    if (reply.status !== 503 || refusals === MOST_REFUSALS) return { ...reply, refusals };
    await sleep(PAUSE);
  }
}

/** Signs in until the response has a cookie: without a database in time the request passes on its credential alone. */
export async function signIn(route: ServerRoute, consumer: Consumer): Promise<Reply> {
  for (let refusals = 0; ; refusals++) {
    const reply = await insist(route, { consumer });
    if (cookieOf(reply) !== undefined) return reply;
    if (refusals === MOST_REFUSALS) throw new Error('nobody can sign in');
    await sleep(PAUSE);
  }
}

/** The `name=value` that a response sets, `undefined` for none and for a deletion. */
export function cookieOf({ setCookies }: Reply, name = 'session'): string | undefined {
  const line = setCookies.find((one) => one.startsWith(`${name}=`));
  if (line === undefined || /; Max-Age=0;/.test(line)) return undefined;
  return line.split(';')[0];
}

/** How nodes with SECRET and storage `kong` seal. */
export const CHANNELS = openChannels(
  parseConfig({
    secret: SECRET,
    storage: 'kong',
    remember: true,
    postgres: { url: 'postgres://x' },
  }),
);

/** What cookies name, one entry for each; fails on one that does not open. */
export function openTokens(
  cookies: readonly string[],
  { codec }: Channel = CHANNELS.session,
): Promise<Entry[]> {
  return Promise.all(
    cookies.map(async (cookie) => {
      const token = await codec.open(cookie.slice(cookie.indexOf('=') + 1), Date.now());
      const entry = token?.entries[0];
      if (entry === undefined) throw new Error('a node sent a cookie that does not open');
      return entry;
    }),
  );
}

/** The generations above the first that cookies of a session were handed out for. */
export function successorsOf(entries: readonly Entry[], id: string | undefined): Set<number> {
  const own = entries.filter((entry) => entry.id === id && entry.generation > 0);
  return new Set(own.map(({ generation }) => generation));
}
