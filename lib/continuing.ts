import { createHash } from 'node:crypto';
import { otherEntries } from './audiences.ts';
import { writeCookies } from './channel.ts';
import type { Channel } from './channel.ts';
import { entryOf } from './entry.ts';
import { report } from './events.ts';
import { foundIn } from './presence.ts';
import type { Guard, Presence, Proof } from './presence.ts';
import { keyOf } from './presented.ts';
import type { Request } from './request.ts';
import { isAlive, isRenewalDue, judge } from './session.ts';
import type { Session } from './session.ts';
import type { Token } from './token.ts';

/** How a session goes on: what it is now, the cookies that say so, and its last use where this request is none. */
export interface Kept {
  readonly cookies: readonly string[];
  readonly session: Session;
  readonly idleSince?: number;
}

/** Notes the use and renews what is due. 'ended' = it is no more; 'superseded' = a newer cookie of it is in use. */
export async function keep(
  guard: Guard,
  request: Request,
  presence: Presence,
  proof: Proof,
): Promise<Kept | 'ended' | 'superseded'> {
  const { config, storage, channels } = guard;
  const { token, entry, isPredecessor } = proof;
  const prolongs = await isActivity(guard, request);
  const isDue =
    prolongs && !isPredecessor && isRenewalDue(proof.session, config.timeouts, storage.now());
  if (isPredecessor) report('predecessor_used', { session: proof.session, at: config.place });
  const session = isDue ? await renew(guard, proof) : proof.session;
  if (typeof session === 'string') return session;
  const { lifetime, touchInterval } = config;
  const { generation } = entry;
  const used = storage.seen(session, { generation, lifetime, touchInterval, prolongs });
  // A lost response is why a predecessor is presented before its successor was: then it gets that once more.
  const isNewForBrowser =
    isDue || used !== session || (isPredecessor && session.confirmedAt === undefined);
  const idle = prolongs ? undefined : { idleSince: session.seenAt };
  // A predecessor that was replaced by a presented one gets nothing newer, whatever it was sealed under.
  const isToBeSealedAnew = token.isFallback && !isPredecessor;
  if (!isNewForBrowser && !isToBeSealedAnew) return { session, cookies: [], ...idle };
  const { tokens, own } = presence.session;
  const entries = [
    entryOf(config, entry.id, used),
    ...others(guard, channels.session, token, tokens),
  ];
  const cookies = await writeCookies(channels.session, request, own, entries, storage.now());
  return { session: used, cookies, ...idle };
}

/** The token at hand knows best what else it holds. */
const others = (guard: Guard, channel: Channel, token: Token, tokens: readonly Token[]) =>
  otherEntries(guard, channel, [token, ...tokens]);

/** Polling in the background is no activity, where the configuration says how to tell it. */
async function isActivity({ config }: Guard, request: Request): Promise<boolean> {
  const { paths, header } = config.idleExempt;
  if (paths.length > 0) {
    const { path } = await request.line();
    if (paths.some((beginning) => path.startsWith(beginning))) return false;
  }
  return header === undefined || !(await request.hasHeader(header));
}

/** The store may know of renewals that this node's copy did not, so its answer is judged once more. */
async function renew(
  { storage }: Guard,
  { channel, session, entry }: Proof,
): Promise<Session | 'ended' | 'superseded'> {
  const renewed = await storage.renew(session, channel.lifetime);
  if (renewed === null) return 'ended';
  if (!isAlive(judge(renewed, entry.generation, channel.timeouts, storage.now()))) {
    return 'superseded';
  }
  return renewed;
}

/**
 * A persistent cookie opens a session of the same family. Its id follows from the persistent id and the generation
 * that replaces the presented one, so that ten restored tabs are one session.
 */
export async function restore(
  guard: Guard,
  request: Request,
  presence: Presence,
  proof: Proof,
): Promise<Kept | 'ended' | 'superseded'> {
  const { config, storage } = guard;
  const { entry, isPredecessor } = proof;
  const remember = isPredecessor ? proof.session : await renew(guard, proof);
  if (typeof remember === 'string') return remember;
  const id = createHash('sha256')
    .update(`session-guard restore ${entry.id} ${remember.generation}`)
    .digest('base64url');
  const { family, consumerId, credentialId, audience, subject, data } = remember;
  const session = await storage.restore(
    remember,
    {
      key: keyOf(id),
      handle: crypto.randomUUID(),
      kind: 'session',
      realm: config.realm,
      family,
      consumerId,
      credentialId,
      audience,
      subject,
      data,
    },
    config.lifetime,
  );
  if (session === null) return 'ended';
  report('session_restored', { session, at: config.place });
  const entries = {
    session: entryOf(config, id, session),
    remember: entryOf(config, entry.id, remember),
  };
  const cookies: string[] = [];
  for (const { channel, own, tokens } of foundIn(presence)) {
    const all = [entries[channel.kind], ...otherEntries(guard, channel, tokens)];
    cookies.push(...(await writeCookies(channel, request, own, all, storage.now())));
  }
  return { session, cookies };
}
