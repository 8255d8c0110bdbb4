import { createHash } from 'node:crypto';
import type { Config } from './config.ts';
import type { Consumers } from './consumers.ts';
import { findOwnCookies } from './cookie.ts';
import type { OwnCookies } from './cookie.ts';
import { report } from './events.ts';
import { isAlive, judge } from './session.ts';
import type { Session, Verdict } from './session.ts';
import type { Presented, Storage } from './storage.ts';
import type { Entry, Token, TokenCodec } from './token.ts';

/** What an instance decides with. */
export interface Guard {
  readonly config: Config;
  readonly codec: TokenCodec;
  readonly storage: Storage;
  readonly consumers: Consumers;
}

/** What the cookies of a request amount to. */
export interface Presence {
  readonly own: OwnCookies;
  /** Tokens of ours that opened, in the order of the header. */
  readonly tokens: readonly Token[];
  /** The session that one of them proves. */
  readonly proof?: Proof;
  /** Whether the browser holds nothing of ours but dead cookies. */
  readonly isDead: boolean;
}

export interface Proof {
  readonly session: Session;
  readonly token: Token;
  readonly entry: Entry;
  readonly isPredecessor: boolean;
}

/** Finds out whom the cookies prove, asking the store where this node cannot know. */
export async function examine(guard: Guard, header: string): Promise<Presence> {
  const { codec, config, storage } = guard;
  const now = storage.now();
  const own = findOwnCookies(header, config.cookie.name, (value) => codec.isOurs(value, now));
  if (own.values.length === 0) return { own, tokens: [], isDead: false };
  const tokens: Token[] = [];
  let isDead = true;
  for (const value of own.values) {
    const token = await codec.open(value, now);
    if (token === undefined) {
      report('cookie_refused');
      continue;
    }
    tokens.push(token);
    const entry = token.entries.find(({ audience }) => audience === config.audience);
    const found = entry && (await examineEntry(guard, token, entry));
    if (found?.proof) return { own, tokens, proof: found.proof, isDead: false };
    // A token may live on for another audience, or its session in a newer cookie.
    isDead &&= found?.verdict !== 'superseded' && token.entries.length === (entry ? 1 : 0);
  }
  return { own, tokens, isDead };
}

async function examineEntry(
  guard: Guard,
  token: Token,
  entry: Entry,
): Promise<{ proof?: Proof; verdict?: Verdict }> {
  const { config, storage } = guard;
  const presented = presentedBy(entry, config.realm);
  let session = storage.peek(presented);
  // Without the store's word a cached session may say yes and a cached absence no, nothing else.
  if (session === undefined || (session && !isCertain(guard, session, entry))) {
    session = await storage.load(presented);
  }
  if (session?.realm !== config.realm || session.audience !== config.audience) return {};
  const verdict = judge(session, entry.generation, config.timeouts, storage.now());
  if (isAlive(verdict)) {
    const isPredecessor = verdict === 'predecessor';
    return { proof: { session, token, entry, isPredecessor }, verdict };
  }
  return { verdict: await settle(guard, session, token, verdict) };
}

/** A predecessor's grace begins when its successor is first presented, perhaps on another node. */
function isCertain({ config, storage }: Guard, session: Session, entry: Entry): boolean {
  const verdict = judge(session, entry.generation, config.timeouts, storage.now());
  return verdict === 'current' || (verdict === 'predecessor' && session.confirmedAt !== undefined);
}

/** What a copy that is no longer good means for its session. */
async function settle(
  { config, storage }: Guard,
  session: Session,
  token: Token,
  verdict: Verdict,
): Promise<Verdict> {
  const { handle } = session;
  if (verdict === 'expired') report('session_expired', { handle });
  if (verdict !== 'replayed') return verdict;
  report('session_replayed', { handle });
  // Copies of a cookie with several audiences fall behind in innocence: one audience renews without the other.
  if (!config.revokeOnReplay || token.entries.length > 1) return 'superseded';
  await storage.end(session);
  return verdict;
}

export const keyOf = (id: string): string => createHash('sha256').update(id).digest('base64url');

export function presentedBy(entry: Entry, realm: string): Presented {
  const key = keyOf(entry.id);
  const { generation, content, audience } = entry;
  if (!content) return { key, generation };
  const session: Session = {
    ...content,
    key,
    kind: 'session',
    generation,
    audience,
    realm,
    previousRenewedAt: undefined,
    confirmedAt: undefined,
  };
  return { key, generation, session };
}
