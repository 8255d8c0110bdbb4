import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { otherEntries } from './audiences.ts';
import { bindingOf } from './binding.ts';
import { isForeign, openTokens, writeCookies } from './channel.ts';
import type { Channel } from './channel.ts';
import type { Config } from './config.ts';
import { subjectOf } from './consumers.ts';
import type { Consumer } from './consumers.ts';
import { entryOf } from './entry.ts';
import { isStoreUnavailable, SessionError } from './errors.ts';
import { report } from './events.ts';
import { foundIn, provenSessions } from './presence.ts';
import type { Found, Guard, Presence } from './presence.ts';
import { keyOf } from './presented.ts';
import type { Request } from './request.ts';
import type { Session, SessionData } from './session.ts';
import type { Beginning, NewSession } from './storage.ts';

/** Who has just signed in. */
export interface Newcomer {
  readonly consumer: Consumer;
  readonly credentialId: string;
  readonly groups: readonly string[] | undefined;
}

export interface Begun {
  readonly cookies: readonly string[];
  /** Absent where no session could begin; the request goes on all the same, on its credential. */
  readonly session?: Session;
}

/** Stores a new session, then writes its cookies; sessions of earlier users of the browser end with it. */
export async function begin(
  guard: Guard,
  request: Request,
  presence: Presence,
  newcomer: Newcomer,
): Promise<Begun> {
  try {
    return await store(guard, request, presence, newcomer);
  } catch (error) {
    if (!(error instanceof SessionError)) throw error;
    const hadTokens = foundIn(presence).some(({ tokens }) => tokens.length > 0);
    // An earlier user's cookie would be good again with the next request: then rather refuse this one.
    if (isStoreUnavailable(error) && hadTokens) throw error;
    const code = error.code === 'ERR_TOO_LARGE' ? 'session_too_large' : 'login_without_session';
    report(code, { at: guard.config.place });
    return { cookies: await farewell(guard, request, presence) };
  }
}

async function store(
  guard: Guard,
  request: Request,
  presence: Presence,
  newcomer: Newcomer,
): Promise<Begun> {
  const { config, storage, channels } = guard;
  const ids = { session: newId(), remember: newId() };
  const make = await blueprint(guard, request, newcomer);
  const replaces = await provenSessions(guard, request, presence);
  const beginning: Beginning = {
    session: make(channels.session, ids.session),
    lifetime: config.lifetime,
    replaces,
    limit: config.limit,
    ...(channels.remember && {
      remember: {
        session: make(channels.remember, ids.remember),
        lifetime: channels.remember.lifetime,
      },
    }),
  };
  const begun = await storage.create(beginning);
  const at = config.place;
  for (const session of replaces) report('session_replaced', { session, at });
  if (begun === null) {
    report('session_limit', { session: { consumerId: newcomer.consumer.id }, at });
    return { cookies: await farewell(guard, request, presence) };
  }
  report('session_created', { session: begun.session, at });
  const write = ({ channel, own, tokens }: Found, id: string, session: Session) => {
    const entries = [entryOf(config, id, session), ...otherEntries(guard, channel, tokens)];
    return writeCookies(channel, request, own, entries, storage.now());
  };
  const { session, remember } = begun;
  const cookies = await write(presence.session, ids.session, session);
  if (!presence.remember || !remember) return { session, cookies };
  const beside = await write(presence.remember, ids.remember, remember);
  return { session, cookies: [...cookies, ...beside] };
}

const newId = (): string => randomBytes(32).toString('base64url');

/** The parts that a session and its persistent sister have in common. */
async function blueprint(
  { config, credentials }: Guard,
  request: Request,
  { consumer, credentialId, groups }: Newcomer,
): Promise<(channel: Channel, id: string) => NewSession> {
  const family = randomUUID();
  const print = await credentials?.print(credentialId);
  const data = {
    ...(await dataOf(request, config, consumer, groups)),
    ...(print !== undefined && { credential: print }),
  };
  return ({ kind, realm }, id) => ({
    key: keyOf(id),
    handle: randomUUID(),
    family,
    kind,
    consumerId: consumer.id,
    credentialId,
    audience: config.audience,
    realm,
    subject: storedSubject(config, consumer),
    data,
  });
}

async function dataOf(
  request: Request,
  config: Config,
  { username, customId }: Consumer,
  groups: readonly string[] | undefined,
): Promise<SessionData> {
  const bound = await bindingOf(request, config.bind);
  const { ip, 'user-agent': userAgent } = await request.traits(['ip', 'user-agent']);
  return {
    ...(username !== undefined && { username }),
    ...(customId !== undefined && { customId }),
    ...(groups && { groups }),
    ...(ip !== undefined && { ip }),
    ...(userAgent !== undefined && { userAgent: userAgent.slice(0, 256) }),
    ...(bound !== undefined && { bound }),
  };
}

function storedSubject({ subject }: Config, consumer: Consumer): string | undefined {
  if (subject === 'unstored') return undefined;
  const plain = subjectOf(consumer);
  if (subject === 'plain') return plain;
  // The first half, as lua-resty-session does it (hash_subject): enough to find, not to read.
  const digest = createHash('sha256').update(plain, 'latin1').digest();
  return digest.subarray(0, 16).toString('base64url');
}

/** Set-Cookie lines that leave the browser nothing of this audience. */
export async function farewell(
  guard: Guard,
  request: Request,
  presence: Presence,
): Promise<string[]> {
  const { storage } = guard;
  const cookies: string[] = [];
  for (const { channel, own } of foundIn(presence)) {
    const tokens = await openTokens(channel, own, storage.now());
    if (isForeign(channel, tokens)) continue;
    const others = otherEntries(guard, channel, tokens);
    cookies.push(...(await writeCookies(channel, request, own, others, storage.now())));
  }
  return cookies;
}
