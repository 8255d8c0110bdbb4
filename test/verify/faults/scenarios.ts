import { setTimeout as sleep } from 'node:timers/promises';
import { Forger, wholeSession } from '../../e2e/support/forger.ts';
import { parseSetCookie, type Reply } from '../../support/client.ts';
import { identityOf, LOGOUT, type Person } from '../../support/chaos/stage.ts';
import type { Ask } from '../../support/client.ts';
import type { Lane } from './lane.ts';

/** A browser's cookies. */
export class Jar {
  readonly #cookies = new Map<string, string>();

  get header(): string {
    return [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ');
  }

  take(lines: readonly string[]): this {
    for (const line of lines) {
      const { name, value } = parseSetCookie(line);
      if (value === '') this.#cookies.delete(name);
      else this.#cookies.set(name, value);
    }
    return this;
  }

  only(name: string): Jar {
    const jar = new Jar();
    const value = this.#cookies.get(name);
    if (value === undefined) throw new Error(`there is no cookie ${name}`);
    jar.#cookies.set(name, value);
    return jar;
  }
}

/** One request to come, and what must be true whatever breaks in it. */
export interface Visit {
  readonly ask: Ask;
  /** Nobody else may reach the upstream with it. */
  readonly person: Person;
  readonly jar: Jar;
  /** Looks at the answer, once nothing is broken any more; resolves with what is wrong, if anything. */
  readonly check: (reply: Reply | undefined) => Promise<string | undefined>;
}

export interface Scenario {
  readonly name: string;
  prepare(lane: Lane): Promise<Visit>;
  /** Whether this is the answer where nothing breaks. */
  isWhole(reply: Reply): boolean;
}

const MINUTE = 60_000;
/** With the pauses between them twenty seconds: Kong itself waits ten for a start that broke off (Kong's rpc/pb_rpc.lua). */
const ATTEMPTS = 45;
/** How often a session that must be over is tried. */
const LOOKS = 3;

/**
 * Whether the cookies are good for anybody. One refusal is no proof: a 503 decides nothing, and over MessagePack a
 * connection that is found broken lets the request pass as nobody's (Kong's rpc/mp_rpc.lua).
 */
async function servedAs(lane: Lane, cookie: string, attempts: number): Promise<string | undefined> {
  for (let attempt = 0; attempt < attempts; attempt++) {
    const identity = identityOf(await lane.stage.ask({ cookie }));
    if (identity !== undefined) return identity;
    await sleep(attempt * 20);
  }
  return undefined;
}

async function signIn(lane: Lane, person: Person): Promise<Jar> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const { setCookies } = await lane.stage.ask({ headers: { apikey: person.key } });
    if (setCookies.length === 2) return new Jar().take(setCookies);
    await sleep(attempt * 20);
  }
  throw new Error('nobody can sign in');
}

/** The session goes on: it is in the store, and the browser has a cookie for it. */
const goesOn = (lane: Lane, person: Person, jar: Jar) => async (reply: Reply | undefined) => {
  jar.take(reply?.setCookies ?? []);
  const identity = await servedAs(lane, jar.header, ATTEMPTS);
  return identity === person.id ? undefined : `the session is lost (${identity ?? 'refused'})`;
};

const isOver = async (lane: Lane, cookie: string): Promise<boolean> =>
  (await servedAs(lane, cookie, LOOKS)) === undefined;

const isServed = (reply: Reply): boolean => reply.status === 200;
const hasBegun = (reply: Reply): boolean => isServed(reply) && reply.setCookies.length === 2;

const login: Scenario = {
  name: 'login',
  isWhole: hasBegun,
  async prepare(lane) {
    const person = await lane.stage.person();
    const jar = new Jar();
    const check = async (reply: Reply | undefined) =>
      reply && reply.setCookies.length > 0 ? goesOn(lane, person, jar)(reply) : undefined;
    return { ask: { headers: { apikey: person.key } }, person, jar, check };
  },
};

/** Somebody signs in where somebody else is signed in. */
const takeover: Scenario = {
  name: 'takeover',
  isWhole: hasBegun,
  async prepare(lane) {
    const [person, earlier] = [await lane.stage.person(), await lane.stage.person()];
    const jar = await signIn(lane, earlier);
    const before = jar.header;
    const check = async (reply: Reply | undefined) => {
      if (!reply || reply.setCookies.length === 0) return undefined;
      const lost = await goesOn(lane, person, jar)(reply);
      if (lost !== undefined || reply.status !== 200) return lost;
      return (await isOver(lane, before)) ? undefined : "the earlier user's session lives on";
    };
    return { ask: { headers: { apikey: person.key }, cookie: jar.header }, person, jar, check };
  },
};

const verify: Scenario = {
  name: 'verify',
  isWhole: isServed,
  async prepare(lane) {
    const person = await lane.stage.person();
    const jar = await signIn(lane, person);
    return { ask: { cookie: jar.header }, person, jar, check: goesOn(lane, person, jar) };
  },
};

const renew: Scenario = {
  name: 'renew',
  isWhole: (reply) => isServed(reply) && reply.setCookies.length > 0,
  async prepare(lane) {
    const person = await lane.stage.person();
    const jar = await age(lane, person);
    return { ask: { cookie: jar.header }, person, jar, check: goesOn(lane, person, jar) };
  },
};

/** A session of 50 minutes: a quarter of the hour is left at 45. */
async function age(lane: Lane, person: Person): Promise<Jar> {
  if (lane.options.storage === 'kong') {
    const jar = await signIn(lane, person);
    await lane.sql.query(
      `update session_guard.sessions set authenticated_at = authenticated_at - interval '50 min',
       started_at = started_at - interval '50 min', renewed_at = renewed_at - interval '50 min'`,
    );
    return jar;
  }
  const forger = new Forger(lane.secret, 'session cookie session_guard');
  const since = Date.now() - 50 * MINUTE;
  const value = forger.seal(wholeSession(person.id, { a: since, b: since, r: since }));
  return new Jar().take([`session=${value}`]);
}

const logout: Scenario = {
  name: 'logout',
  isWhole: isServed,
  async prepare(lane) {
    const person = await lane.stage.person();
    const jar = await signIn(lane, person);
    const cookie = jar.header;
    const check = async (reply: Reply | undefined) => {
      const isConfirmed = reply?.status === 200 && identityOf(reply) === undefined;
      if (!isConfirmed) return undefined;
      return (await isOver(lane, cookie)) ? undefined : 'confirmed, but the session lives on';
    };
    return { ask: { ...LOGOUT, cookie }, person, jar, check };
  },
};

/** The session cookie is gone with the browser, the persistent one is there. */
const restore: Scenario = {
  name: 'restore',
  isWhole: hasBegun,
  async prepare(lane) {
    const person = await lane.stage.person();
    const jar = (await signIn(lane, person)).only('remember');
    return { ask: { cookie: jar.header }, person, jar, check: goesOn(lane, person, jar) };
  },
};

export const SCENARIOS: readonly Scenario[] = [login, takeover, verify, renew, logout, restore];
