import type { Config, CookieSettings } from './config.ts';
import { deleteCookies, findOwnCookies, setCookies } from './cookie.ts';
import type { OwnCookies, WrittenCookie } from './cookie.ts';
import { KeyRing } from './keys.ts';
import type { Request } from './request.ts';
import type { Timeouts } from './session.ts';
import type { Lifetime } from './storage.ts';
import { TokenCodec } from './token.ts';
import type { Entry } from './token.ts';

/** A cookie that proves sessions: the session cookie, or the persistent one beside it. */
export interface Channel {
  readonly kind: 'session' | 'remember';
  readonly cookie: CookieSettings;
  readonly realm: string;
  readonly codec: TokenCodec;
  readonly timeouts: Timeouts;
  readonly lifetime: Lifetime;
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
    return { kind, codec: new TokenCodec(ring, kind), ...rest };
  };
  return {
    session: open('session', { cookie, realm, timeouts, lifetime }),
    remember: remember && open('remember', remember),
  };
}

/** Milliseconds that a token may live, 0 = without end. */
export const longestLife = ({ rolling, absolute }: Lifetime): number =>
  rolling === 0 || absolute === 0 ? rolling || absolute : Math.min(rolling, absolute);

/** What a Cookie header holds of the channel. */
export const ownCookies = ({ cookie, codec }: Channel, header: string, now: number): OwnCookies =>
  findOwnCookies(header, cookie.name, (value) => codec.isOurs(value, now));

/** Set-Cookie lines that give the browser these entries; without any they delete what it has of ours. */
export async function writeCookies(
  channel: Channel,
  request: Request,
  own: OwnCookies,
  entries: readonly Entry[],
  now: number,
): Promise<string[]> {
  if (entries.length === 0) {
    if (own.values.length === 0) return [];
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
