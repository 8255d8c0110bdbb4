import { LRUCache } from 'lru-cache';
import type { Config, CookieSettings } from './config.ts';
import { deleteCookies, findOwnCookies, NO_COOKIES, setCookies } from './cookie.ts';
import type { OwnCookies, WrittenCookie } from './cookie.ts';
import { report } from './events.ts';
import { KeyRing } from './keys.ts';
import type { Request } from './request.ts';
import type { Timeouts } from './session.ts';
import { longestLife } from './storage.ts';
import type { Lifetime } from './storage.ts';
import { TokenCodec } from './token.ts';
import type { Entry, Token } from './token.ts';

/** A cookie that proves sessions: the session cookie, or the persistent one beside it. */
export interface Channel {
  readonly kind: 'session' | 'remember';
  readonly cookie: CookieSettings;
  readonly realm: string;
  readonly codec: TokenCodec;
  readonly timeouts: Timeouts;
  readonly lifetime: Lifetime;
  /** The same for channels that take the same values for genuine. */
  readonly name: number;
}

export interface Channels {
  readonly session: Channel;
  readonly remember: Channel | undefined;
}

export function openChannels(config: Config): Channels {
  const { secrets, cookie, realm, timeouts, lifetime, remember } = config;
  const open = (
    kind: Channel['kind'],
    rest: Pick<Channel, 'cookie' | 'realm' | 'timeouts' | 'lifetime'>,
  ): Channel => {
    const ring = new KeyRing(secrets, rest.realm, longestLife(rest.lifetime));
    const name = numberOf(`${kind} ${rest.cookie.name} ${ring.identity}`);
    return { kind, codec: new TokenCodec(ring, kind), name, ...rest };
  };
  return {
    session: open('session', { cookie, realm, timeouts, lifetime }),
    remember: remember && open('remember', remember),
  };
}

const numbers = new Map<string, number>();

function numberOf(name: string): number {
  const number = numbers.get(name) ?? numbers.size;
  numbers.set(name, number);
  return number;
}

/** What a Cookie header holds of a channel. */
export interface Carried {
  readonly own: OwnCookies;
  /** Those of the values that are genuine, in the order of the header. */
  readonly tokens: readonly Token[];
}

const MAX_RECALLED = 2048;

/** Headers of the last requests, so that a browser's next one needs neither parsing nor cryptography. */
const recalled = new LRUCache<string, Carried>({
  maxSize: 3 * 1024 * 1024,
  sizeCalculation: (_, key) => 2 * key.length + 600,
});

const NOTHING: Carried = { own: NO_COOKIES, tokens: [] };

/** What this node knows about a header without waiting; `undefined` = `read` it. */
export function recall(channel: Channel, header: string): Carried | undefined {
  if (!header.includes(channel.cookie.name)) return NOTHING;
  return header.length > MAX_RECALLED ? undefined : recalled.get(`${channel.name} ${header}`);
}

/** Drops a header whose session has ended. */
export function forget(channel: Channel, header: string): void {
  recalled.delete(`${channel.name} ${header}`);
}

export async function read(channel: Channel, header: string, now: number): Promise<Carried> {
  const own = ownCookies(channel, header, now);
  const tokens = await openTokens(channel, own, now);
  const carried = { own, tokens };
  // What does not open is not kept: clients could make up any number of such headers.
  const isGenuine = tokens.length > 0 && tokens.length === own.values.length;
  if (isGenuine && header.length <= MAX_RECALLED)
    recalled.set(`${channel.name} ${header}`, carried);
  return carried;
}

export const ownCookies = ({ cookie, codec }: Channel, header: string, now: number): OwnCookies =>
  findOwnCookies(header, cookie.name, (value) => codec.isOurs(value, now));

/** Those of the values that are genuine, in the order of the header. */
export async function openTokens(
  { codec }: Channel,
  { values }: OwnCookies,
  now: number,
): Promise<Token[]> {
  const tokens: Token[] = [];
  for (const value of values) {
    const token = await codec.open(value, now);
    if (token) tokens.push(token);
    else report('cookie_refused');
  }
  return tokens;
}

/**
 * Whether what the browser holds by the name of a persistent cookie may be another application's: routes with one secret
 * share that name by default, and none of them may delete the others'.
 */
export const isForeign = ({ kind }: Channel, tokens: readonly Token[]): boolean =>
  kind === 'remember' && tokens.length === 0;

/** Set-Cookie lines that give the browser these entries; without any they delete what it has of ours. */
export async function writeCookies(
  channel: Channel,
  request: Request,
  own: OwnCookies,
  entries: readonly Entry[],
  now: number,
): Promise<string[]> {
  if (entries.length === 0) {
    if (own.values.length === 0 && own.chunks.length === 0) return [];
    return deleteCookies(await written(channel, request), own);
  }
  const value = await channel.codec.seal(entries, now);
  return setCookies(await written(channel, request), value, own);
}

async function written({ cookie }: Channel, request: Request): Promise<WrittenCookie> {
  if (cookie.secure !== 'auto') return { ...cookie, secure: cookie.secure };
  const { scheme } = await request.traits(['scheme']);
  return { ...cookie, secure: scheme === 'https' };
}
