import { isDeepStrictEqual } from 'node:util';
import { isGoneElsewhere } from './audiences.ts';
import { begin, farewell } from './beginning.ts';
import type { Newcomer } from './beginning.ts';
import { writeCookies } from './channel.ts';
import type { Consumer } from './consumers.ts';
import { keep, restore } from './continuing.ts';
import { isStoreUnavailable } from './errors.ts';
import { report } from './events.ts';
import { isLogout } from './logout.ts';
import { examine, foundIn, provenSessions } from './presence.ts';
import type { Guard, Presence, Proof } from './presence.ts';
import { recognise } from './recognition.ts';
import type { Request } from './request.ts';
import { serve } from './self-service.ts';
import type { Answer } from './self-service.ts';
import type { Session } from './session.ts';

/**
 * What is to be done with a request. `cookies` are the Set-Cookie lines of the response, `rest` the Cookie header
 * for the upstream (`undefined` = as it came), `idleSince` the last use where this request is none.
 */
export type Decision =
  /** Nobody is signed in: as if we were not there, or 401, by configuration. */
  | {
      readonly kind: 'nobody';
      readonly why: Why;
      readonly cookies: readonly string[];
      readonly rest: string | undefined;
    }
  /** An auth plugin verified a credential in this request; that identity stands. */
  | {
      readonly kind: 'credential';
      readonly cookies: readonly string[];
      readonly groups?: readonly string[];
      readonly session?: Session;
      readonly idleSince?: number;
      readonly rest: string | undefined;
    }
  /** The cookie proves who it is. */
  | {
      readonly kind: 'session';
      readonly cookies: readonly string[];
      readonly session: Session;
      readonly consumer: Consumer;
      readonly idleSince?: number;
      readonly rest: string | undefined;
    }
  /** The session has ended, durably; the response says so and the upstream is not asked. */
  | { readonly kind: 'logout'; readonly cookies: readonly string[] }
  /** Users ask for their own sessions. */
  | { readonly kind: 'answer'; readonly cookies: readonly string[]; readonly answer: Answer }
  /** It cannot be known who this is. */
  | { readonly kind: 'unavailable' };

/**
 * Why nobody is signed in: no cookie of ours; none that is genuine and good here; the session's time is over; it was
 * ended, or is so long over that it is no longer known.
 */
type Why = 'missing' | 'invalid' | 'expired' | 'revoked';

/**
 * Decides one request. The order is the point: nobody is authenticated before everything is verified,
 * a session is stored before its cookie leaves, and a logout is committed before it is confirmed.
 */
export function decide(guard: Guard, request: Request): Decision | Promise<Decision> {
  return recognise(guard, request) ?? deliberate(guard, request);
}

/** The decision without the short cut. */
export async function deliberate(guard: Guard, request: Request): Promise<Decision> {
  try {
    const presence = await examine(guard, request);
    if (presence.proof && (await isLogout(request, guard.config.logout))) {
      return await logOut(guard, request, presence);
    }
    const decision = request.credential
      ? await signIn(guard, request, presence)
      : await stayIn(guard, request, presence);
    return (await selfService(guard, request, presence, decision)) ?? decision;
  } catch (error) {
    if (!isStoreUnavailable(error)) throw error;
    report('store_unavailable', { at: guard.config.place });
    return { kind: 'unavailable' };
  }
}

async function nobody(guard: Guard, request: Request, presence: Presence): Promise<Decision> {
  const cookies: string[] = [];
  for (const { channel, own, isDead } of foundIn(presence)) {
    // Chunks without their first are dead by themselves.
    if (isDead || own.values.length === 0)
      cookies.push(...(await writeCookies(channel, request, own, [], guard.storage.now())));
  }
  return { kind: 'nobody', why: whyNobody(presence), cookies, rest: presence.rest };
}

function whyNobody(presence: Presence): Why {
  const found = foundIn(presence);
  if (found.every(({ own }) => own.values.length === 0)) return 'missing';
  if (found.every(({ tokens }) => tokens.length === 0) || presence.isElsewhere) return 'invalid';
  return found.some(({ verdict }) => verdict === 'expired') ? 'expired' : 'revoked';
}

async function logOut(guard: Guard, request: Request, presence: Presence): Promise<Decision> {
  for (const session of await provenSessions(guard, request, presence)) {
    await guard.storage.end(session);
    report('session_ended', { session, at: guard.config.place });
  }
  return { kind: 'logout', cookies: await farewell(guard, request, presence) };
}

/** A verified credential beats a cookie: whoever signs in is that user now, and an earlier session ends. */
async function signIn(guard: Guard, request: Request, presence: Presence): Promise<Decision> {
  const { proof } = presence;
  const consumer = await request.consumer();
  const groups = await request.groups();
  const pass = {
    kind: 'credential',
    cookies: [],
    ...(groups && { groups }),
    rest: presence.rest,
  } as const;
  if (consumer === undefined) {
    report('credential_without_consumer', { at: guard.config.place });
    return pass;
  }
  const credentialId = request.credential?.id ?? consumer.id;
  const newcomer = { consumer, credentialId, groups };
  if (proof?.channel.kind === 'session' && isOf(proof.session, newcomer)) {
    // The credential may be the same with another password, and the session one of the old password.
    const isSame = await hasItsCredential(guard, proof.session, 0);
    const kept = isSame && (await keep(guard, request, presence, proof));
    if (typeof kept === 'object') return { ...pass, ...kept };
  }
  // To sign out without a session is no reason to begin one: browsers repeat basic-auth by themselves.
  if (await isLogout(request, guard.config.logout)) return pass;
  return { ...pass, ...(await begin(guard, request, presence, newcomer)) };
}

/** Other groups than at the sign-in are a change of what the session may do (ASVS 7.2.4): it is not the same. */
const isOf = (session: Session, { consumer, credentialId, groups = [] }: Newcomer): boolean =>
  session.consumerId === consumer.id &&
  session.credentialId === credentialId &&
  isDeepStrictEqual(session.data.groups ?? [], groups);

async function stayIn(guard: Guard, request: Request, presence: Presence): Promise<Decision> {
  const { proof } = presence;
  if (proof === undefined) return nobody(guard, request, presence);
  const { session } = proof;
  const consumer = await stillExisting(guard, request, session);
  if (consumer === 'gone' || !(await hasItsCredential(guard, session))) {
    await guard.storage.end(session);
    const code = consumer === 'gone' ? 'consumer_gone' : 'credential_gone';
    report(code, { session, at: guard.config.place });
    return nobody(guard, request, await withDead(guard, presence, proof));
  }
  const kept =
    proof.channel.kind === 'session'
      ? await keep(guard, request, presence, proof)
      : await restore(guard, request, presence, proof);
  if (kept === 'ended') return nobody(guard, request, await withDead(guard, presence, proof));
  if (kept === 'superseded') return nobody(guard, request, presence);
  return { kind: 'session', consumer, ...kept, rest: presence.rest };
}

/** The presence after its session has ended: its cookie may be deleted if it is good for no other audience. */
async function withDead(
  guard: Guard,
  presence: Presence,
  { channel, token }: Proof,
): Promise<Presence> {
  const isDead = await isGoneElsewhere(guard, channel, token);
  const found = channel.kind === 'session' ? presence.session : presence.remember;
  return found ? { ...presence, [channel.kind]: { ...found, isDead } } : presence;
}

async function stillExisting(
  { config, consumers }: Guard,
  request: Request,
  { consumerId, data }: Session,
): Promise<Consumer | 'gone'> {
  const ttl = config.consumerTtl;
  const known = consumers.peek(consumerId, ttl);
  if (known) return known;
  const { username, customId } = data;
  const last = {
    id: consumerId,
    ...(username !== undefined && { username }),
    ...(customId !== undefined && { customId }),
  };
  const control = async () => (await request.consumer())?.id;
  const lookUp = (id: string) => request.loadConsumer(id);
  return consumers.check(last, { ttl, lookUp, control });
}

/** As far as that was known `ttl` milliseconds ago. */
async function hasItsCredential(
  { config, credentials }: Guard,
  { credentialId, data }: Session,
  ttl = config.consumerTtl,
): Promise<boolean> {
  if (credentials === undefined || credentialId === undefined) return true;
  // Not found in Kong's tables at the sign-in either: another plugin's, which we cannot judge.
  if (data.credential === undefined) return true;
  return credentials.isUnchanged(credentialId, data.credential, ttl);
}

async function selfService(
  guard: Guard,
  request: Request,
  presence: Presence,
  decision: Decision,
): Promise<Decision | undefined> {
  if (guard.config.selfServicePath === undefined) return undefined;
  if (decision.kind !== 'session' && decision.kind !== 'credential') return undefined;
  const consumer = decision.kind === 'session' ? decision.consumer : await request.consumer();
  if (consumer === undefined) return undefined;
  const answer = await serve(guard, request, consumer.id, decision.session);
  if (answer === undefined) return undefined;
  const cookies = answer.hasEndedCurrent
    ? await farewell(guard, request, presence)
    : decision.cookies;
  return { kind: 'answer', answer, cookies };
}
