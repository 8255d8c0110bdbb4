import { isGoneElsewhere } from './audiences.ts';
import { isBoundTo } from './binding.ts';
import { forget, isForeign, openTokens, ownCookies, read, recall } from './channel.ts';
import type { Channel, Channels } from './channel.ts';
import type { Config } from './config.ts';
import type { Consumers } from './consumers.ts';
import type { OwnCookies } from './cookie.ts';
import type { Credentials } from './credentials.ts';
import { report } from './events.ts';
import { presentedBy } from './presented.ts';
import type { Request } from './request.ts';
import { isAlive, judge } from './session.ts';
import type { Session, Verdict } from './session.ts';
import type { Storage } from './storage.ts';
import type { Entry, Token } from './token.ts';

/** What an instance decides with. */
export interface Guard {
  readonly config: Config;
  readonly channels: Channels;
  readonly storage: Storage;
  readonly consumers: Consumers;
  /** Absent where Kong's database is not configured. */
  readonly credentials: Credentials | undefined;
}

/** What the cookies of one channel amount to. */
export interface Found {
  readonly channel: Channel;
  readonly own: OwnCookies;
  /** Tokens of ours that opened, in the order of the header. */
  readonly tokens: readonly Token[];
  /** The session that one of them proves. */
  readonly proof?: Proof;
  /** Whether the browser holds nothing of ours but dead cookies. */
  readonly isDead: boolean;
  /** What became of the session of one of the tokens, where none proves anything. */
  readonly verdict?: Verdict | undefined;
}

export interface Proof {
  readonly channel: Channel;
  readonly session: Session;
  readonly token: Token;
  readonly entry: Entry;
  readonly isPredecessor: boolean;
}

/** What all cookies of a request amount to. */
export interface Presence {
  readonly session: Found;
  readonly remember: Found | undefined;
  /** The session's proof, or else the persistent cookie's. */
  readonly proof?: Proof;
  /** The Cookie header without ours; `undefined` where none of them is in it. */
  readonly rest: string | undefined;
  /** There would be a proof if the request came from where the session began. */
  readonly isElsewhere?: boolean;
}

export const foundIn = ({ session, remember }: Presence): Found[] =>
  remember ? [session, remember] : [session];

/** Finds out whom the cookies prove, asking the store where this node cannot know. */
export async function examine(guard: Guard, request: Request): Promise<Presence> {
  const { channels, config, storage } = guard;
  const session = await examineChannel(guard, request, channels.session, request.cookies);
  const header = session.own.rest ?? request.cookies;
  // The persistent cookie counts where the session's own has nothing to say, and to those who sign in anew.
  const isNeeded = session.proof === undefined || request.credential !== undefined;
  const remember =
    channels.remember &&
    (isNeeded
      ? await examineChannel(guard, request, channels.remember, header)
      : unexamined(channels.remember, header, storage.now()));
  const rest = remember?.own.rest ?? session.own.rest;
  const proof = session.proof ?? remember?.proof;
  if (proof === undefined) return { session, remember, rest };
  if (config.bind.length > 0 && !(await isBoundTo(proof.session, request, config.bind))) {
    report('session_bound_elsewhere', { session: proof.session, at: config.place });
    const others = remember && lost(remember);
    return { session: lost(session), remember: others, rest, isElsewhere: true };
  }
  return { session, remember, proof, rest };
}

/** Without its proof, but not dead: its owner may come back to where it is good. */
const lost = ({ channel, own, tokens, isDead }: Found): Found => ({
  channel,
  own,
  tokens,
  isDead,
});

const unexamined = (channel: Channel, header: string, now: number): Found => ({
  channel,
  own: ownCookies(channel, header, now),
  tokens: [],
  isDead: false,
});

async function examineChannel(
  guard: Guard,
  request: Request,
  channel: Channel,
  header: string,
): Promise<Found> {
  const { own, tokens } =
    recall(channel, header) ?? (await read(channel, header, guard.storage.now()));
  let isDead =
    own.values.length > 0 &&
    !isForeign(channel, tokens) &&
    tokens.every((token) => entryIn(guard, token));
  let verdict: Verdict | undefined;
  for (const copy of newestFirst(guard, tokens)) {
    const found = await examineEntry(guard, request, channel, copy);
    if (found.proof) return { channel, own, tokens, proof: found.proof, isDead: false };
    // A token may live on for another audience, or its session in a newer cookie.
    verdict ??= found.verdict;
    isDead &&=
      found.verdict !== 'superseded' && (await isGoneElsewhere(guard, channel, copy.token));
  }
  if (isDead) forget(channel, header);
  return { channel, own, tokens, isDead, verdict };
}

const entryIn = ({ config }: Guard, { entries }: Token): Entry | undefined =>
  entries.find(({ audience }) => audience === config.audience);

/** One copy of a session's cookie. */
type Copy = Pick<Proof, 'token' | 'entry'>;

/**
 * What the tokens hold for this audience, in their order, but of several copies of one session the newest first: beside
 * it an older one is what other attributes of the cookie, or another path, have left in the browser, and no replay.
 */
function newestFirst(guard: Guard, tokens: readonly Token[]): Copy[] {
  const copies = tokens.flatMap((token): Copy[] => {
    const entry = entryIn(guard, token);
    return entry ? [{ token, entry }] : [];
  });
  const ids = [...new Set(copies.map(({ entry }) => entry.id))];
  return ids.flatMap((id) =>
    copies
      .filter(({ entry }) => entry.id === id)
      .toSorted((one, other) => other.entry.generation - one.entry.generation),
  );
}

async function examineEntry(
  guard: Guard,
  request: Request,
  channel: Channel,
  { token, entry }: Copy,
): Promise<{ proof?: Proof; verdict?: Verdict }> {
  const { config, storage } = guard;
  const { generation } = entry;
  const presented = presentedBy(entry, channel);
  let session = storage.peek(presented);
  // Without the store's word a cached session may say yes and a cached absence no, nothing else.
  if (session === undefined || (session && !isCertain(guard, channel, session, entry))) {
    session = await storage.load(presented);
  }
  // There, but sealed under a secret that this configuration does not have: its cookie may be good on another node.
  if (session === undefined) return { verdict: 'superseded' };
  if (session?.realm !== channel.realm || session.audience !== config.audience) return {};
  const verdict = judge(session, generation, channel.timeouts, storage.now());
  if (isAlive(verdict)) {
    const isPredecessor = verdict === 'predecessor';
    return { proof: { channel, session, token, entry, isPredecessor }, verdict };
  }
  const isLate =
    verdict === 'replayed' && (await wasGood(guard, request, channel, { session, generation }));
  return { verdict: isLate ? 'superseded' : await settle(guard, session, token, verdict) };
}

/** Longer than this no request is held up before us; milliseconds. */
const LONGEST_WAIT = 60_000;

/**
 * Whether a copy that counts as replayed was no replay yet when its request came. Kong holds requests up for ten seconds
 * and more when a plugin server dies at the wrong moment (Kong's rpc/pb_rpc.lua): that must not end their sessions. They are
 * refused all the same, so to send a request slowly gains nobody anything.
 */
async function wasGood(
  { storage }: Guard,
  request: Request,
  { timeouts }: Channel,
  { session, generation }: { session: Session; generation: number },
): Promise<boolean> {
  const age = Math.min(await request.age(), LONGEST_WAIT);
  return judge(session, generation, timeouts, storage.now() - age) !== 'replayed';
}

/** A predecessor's grace begins when its successor is first presented, perhaps on another node. */
function isCertain(
  { storage }: Guard,
  { timeouts }: Channel,
  session: Session,
  entry: Entry,
): boolean {
  const verdict = judge(session, entry.generation, timeouts, storage.now());
  return verdict === 'current' || (verdict === 'predecessor' && session.confirmedAt !== undefined);
}

/**
 * Every session of this audience that the cookies prove, one for each family: several cookies of our name may be good,
 * and a persistent one may belong to another sign-in.
 */
export async function provenSessions(
  guard: Guard,
  request: Request,
  presence: Presence,
): Promise<Session[]> {
  const { storage } = guard;
  const families = new Map<string, Session>();
  for (const { channel, own } of foundIn(presence)) {
    const proven = new Set<string>();
    for (const copy of newestFirst(guard, await openTokens(channel, own, storage.now()))) {
      if (proven.has(copy.entry.id)) continue;
      const { proof } = await examineEntry(guard, request, channel, copy);
      if (!proof) continue;
      proven.add(copy.entry.id);
      families.set(proof.session.family, proof.session);
    }
  }
  return [...families.values()];
}

/** What a copy that is no longer good means for its session. */
async function settle(
  { config, storage }: Guard,
  session: Session,
  token: Token,
  verdict: Verdict,
): Promise<Verdict> {
  if (verdict === 'expired') report('session_expired', { session, at: config.place });
  if (verdict !== 'replayed') return verdict;
  report('session_replayed', { session, at: config.place });
  // Copies of a cookie with several audiences fall behind in innocence: one audience renews without the other.
  if (!config.revokeOnReplay || token.entries.length > 1) return 'superseded';
  await storage.end(session);
  return verdict;
}
