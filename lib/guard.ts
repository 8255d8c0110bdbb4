import { randomBytes, randomUUID } from 'node:crypto';
import type { Consumer } from './consumers.ts';
import { deleteCookies, setCookies } from './cookie.ts';
import type { OwnCookies } from './cookie.ts';
import { isStoreUnavailable, SessionError } from './errors.ts';
import { report } from './events.ts';
import { isLogout } from './logout.ts';
import { examine, keyOf, presentedBy } from './presence.ts';
import type { Guard, Presence, Proof } from './presence.ts';
import type { Request } from './request.ts';
import { isAlive, isRenewalDue, judge } from './session.ts';
import type { Session } from './session.ts';
import type { Storage } from './storage.ts';
import type { Entry, Token } from './token.ts';

/**
 * What is to be done with a request. `cookies` are the Set-Cookie lines of the response, `rest` the Cookie header
 * for the upstream (`undefined` = as it came).
 */
export type Decision =
  /** Nobody is signed in: as if we were not there, or 401, by configuration. */
  | { readonly kind: 'nobody'; readonly cookies: readonly string[]; readonly rest?: string }
  /** An auth plugin verified a credential in this request; that identity stands. */
  | {
      readonly kind: 'credential';
      readonly cookies: readonly string[];
      readonly groups?: readonly string[];
      readonly session?: Session;
      readonly rest?: string;
    }
  /** The cookie proves who it is. */
  | {
      readonly kind: 'session';
      readonly cookies: readonly string[];
      readonly session: Session;
      readonly consumer: Consumer;
      readonly rest?: string;
    }
  /** The session has ended, durably; the response says so and the upstream is not asked. */
  | { readonly kind: 'logout'; readonly cookies: readonly string[] }
  /** It cannot be known who this is. */
  | { readonly kind: 'unavailable' };

/**
 * Decides one request. The order is the point (design.md §1): nobody is authenticated before everything is verified,
 * a session is stored before its cookie leaves, and a logout is committed before it is confirmed.
 */
export async function decide(guard: Guard, request: Request): Promise<Decision> {
  try {
    const presence = await examine(guard, request.cookies);
    const { proof } = presence;
    if (proof && (await isLogout(request, guard.config.logout))) {
      return await logOut(guard, presence, proof);
    }
    if (request.credential) return await signIn(guard, request, presence);
    if (!proof) return nobody(guard, presence);
    return await stayIn(guard, request, presence, proof);
  } catch (error) {
    if (!isStoreUnavailable(error)) throw error;
    report('store_unavailable');
    return { kind: 'unavailable' };
  }
}

function nobody({ config }: Guard, { own, isDead }: Presence): Decision {
  const cookies = isDead ? deleteCookies(config.cookie, own) : [];
  return { kind: 'nobody', cookies, ...restOf(own) };
}

const restOf = ({ rest }: OwnCookies): { rest?: string } => (rest === undefined ? {} : { rest });

async function logOut(guard: Guard, presence: Presence, proof: Proof): Promise<Decision> {
  const { session, token } = proof;
  await guard.storage.end(session);
  report('session_ended', { handle: session.handle });
  const others = otherEntries(guard, token);
  const { config } = guard;
  const cookies =
    others.length === 0
      ? deleteCookies(config.cookie, presence.own)
      : await cookiesFor(guard, presence.own, others);
  return { kind: 'logout', cookies };
}

/** A verified credential beats a cookie: whoever signs in is that user now, and an earlier session ends. */
async function signIn(guard: Guard, request: Request, presence: Presence): Promise<Decision> {
  const { proof, own } = presence;
  const consumer = await request.consumer();
  const groups = await request.groups();
  const pass = {
    kind: 'credential',
    cookies: [],
    ...(groups && { groups }),
    ...restOf(own),
  } as const;
  if (consumer === undefined) {
    report('credential_without_consumer');
    return pass;
  }
  const credentialId = request.credential?.id ?? consumer.id;
  if (proof?.session.consumerId === consumer.id && proof.session.credentialId === credentialId) {
    const kept = await keep(guard, presence, proof);
    if (typeof kept !== 'string') return { ...pass, ...kept };
  }
  // To sign out without a session is no reason to begin one: browsers repeat basic-auth by themselves.
  if (await isLogout(request, guard.config.logout)) return pass;
  const newcomer = await newSession(guard, request, consumer, credentialId, groups);
  return { ...pass, ...(await begin(guard, presence, newcomer)) };
}

interface Newcomer {
  readonly id: string;
  readonly session: Parameters<Storage['create']>[0];
}

async function newSession(
  { config }: Guard,
  request: Request,
  consumer: Consumer,
  credentialId: string,
  groups: readonly string[] | undefined,
): Promise<Newcomer> {
  const { username, customId } = consumer;
  const id = randomBytes(32).toString('base64url');
  return {
    id,
    session: {
      key: keyOf(id),
      handle: randomUUID(),
      family: randomUUID(),
      kind: 'session',
      consumerId: consumer.id,
      credentialId,
      audience: config.audience,
      realm: config.realm,
      subject: undefined,
      data: {
        ...(username !== undefined && { username }),
        ...(customId !== undefined && { customId }),
        ...(groups && { groups }),
        ...(await request.origin()),
      },
    },
  };
}

async function begin(
  guard: Guard,
  presence: Presence,
  newcomer: Newcomer,
): Promise<{ cookies: readonly string[]; session?: Session }> {
  const { storage, config } = guard;
  const { proof, own, tokens } = presence;
  try {
    const session = await storage.create(newcomer.session, config.lifetime, proof?.session);
    report('session_created', { handle: session.handle });
    if (proof) report('session_replaced', { handle: proof.session.handle });
    const others = tokens.flatMap((token) => otherEntries(guard, token));
    const entries = [entryOf(guard, newcomer.id, session), ...others];
    return { session, cookies: await cookiesFor(guard, own, entries) };
  } catch (error) {
    if (!(error instanceof SessionError)) throw error;
    // An earlier user's cookie would be good again with the next request: then rather refuse this one.
    if (error.code === 'ERR_STORE_UNAVAILABLE' && tokens.length > 0) throw error;
    report(error.code === 'ERR_TOO_LARGE' ? 'session_too_large' : 'login_without_session');
    return { cookies: deleteCookies(config.cookie, own) };
  }
}

async function stayIn(
  guard: Guard,
  request: Request,
  presence: Presence,
  proof: Proof,
): Promise<Decision> {
  const consumer = await stillExisting(guard, request, proof.session);
  if (consumer === 'gone') {
    await guard.storage.end(proof.session);
    report('consumer_gone', { handle: proof.session.handle });
    return nobody(guard, { ...presence, isDead: isAlone(proof) });
  }
  const kept = await keep(guard, presence, proof);
  if (kept === 'ended') return nobody(guard, { ...presence, isDead: isAlone(proof) });
  if (kept === 'superseded') return nobody(guard, presence);
  return { kind: 'session', consumer, ...kept, ...restOf(presence.own) };
}

/** Whether the cookie is good for this audience only, so that it may be deleted with the session. */
const isAlone = ({ token }: Proof): boolean => token.entries.length === 1;

async function stillExisting(
  { config, consumers, storage }: Guard,
  request: Request,
  { consumerId, data }: Session,
): Promise<Consumer | 'gone'> {
  const now = storage.now();
  const ttl = config.consumerTtl;
  const known = consumers.peek(consumerId, ttl, now);
  if (known) return known;
  const { username, customId } = data;
  const last = {
    id: consumerId,
    ...(username !== undefined && { username }),
    ...(customId !== undefined && { customId }),
  };
  const control = async () => (await request.consumer())?.id;
  const lookUp = (id: string) => request.loadConsumer(id);
  return consumers.check(last, { now, ttl, lookUp, control });
}

interface Kept {
  readonly cookies: readonly string[];
  readonly session: Session;
}

/** Notes the use and renews what is due. */
async function keep(
  guard: Guard,
  presence: Presence,
  proof: Proof,
): Promise<Kept | 'ended' | 'superseded'> {
  const { config, storage } = guard;
  const { token, entry, isPredecessor } = proof;
  const isDue = !isPredecessor && isRenewalDue(proof.session, config.timeouts, storage.now());
  const session = isDue ? await renew(guard, proof) : proof.session;
  if (typeof session === 'string') return session;
  const used = storage.seen(session, entry.generation, config.lifetime, config.touchInterval);
  // A lost response is why a predecessor is presented before its successor was: then it gets that once more.
  const isNewForBrowser =
    isDue || used !== session || (isPredecessor && session.confirmedAt === undefined);
  if (!isNewForBrowser && !token.isFallback) return { session, cookies: [] };
  const entries = [entryOf(guard, entry.id, used), ...otherEntries(guard, token)];
  return { session: used, cookies: await cookiesFor(guard, presence.own, entries) };
}

/** The store may know of renewals that this node's copy did not, so its answer is judged once more. */
async function renew(
  { config, storage }: Guard,
  { session, entry }: Proof,
): Promise<Session | 'ended' | 'superseded'> {
  const renewed = await storage.renew(session, config.lifetime);
  if (renewed === null) return 'ended';
  if (!isAlive(judge(renewed, entry.generation, config.timeouts, storage.now()))) {
    return 'superseded';
  }
  report('session_renewed', { handle: session.handle });
  return renewed;
}

async function cookiesFor(
  { codec, config, storage }: Guard,
  own: OwnCookies,
  entries: readonly Entry[],
): Promise<string[]> {
  return setCookies(config.cookie, await codec.seal(entries, storage.now()), own);
}

/**
 * The entries of other audiences in a token, each with the newest generation this node knows: the new cookie takes
 * the place of the browser's copy.
 */
function otherEntries({ config, storage }: Guard, token: Token): Entry[] {
  const others = token.entries.filter(({ audience }) => audience !== config.audience);
  return others.flatMap((entry) => {
    const known = storage.peek(presentedBy(entry, config.realm));
    if (known === null) return [];
    const generation = Math.max(entry.generation, known?.generation ?? 0);
    return [{ ...entry, generation }];
  });
}

function entryOf({ config }: Guard, id: string, session: Session): Entry {
  const { audience, generation } = session;
  if (config.storage === 'kong') return { audience, id, generation };
  const { handle, family, consumerId, credentialId, subject, data } = session;
  const { authenticatedAt, renewedAt, seenAt } = session;
  const content = {
    handle,
    family,
    consumerId,
    credentialId,
    subject,
    data,
    authenticatedAt,
    renewedAt,
    seenAt,
  };
  return { audience, id, generation, content };
}
