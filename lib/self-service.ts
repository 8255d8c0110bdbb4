import { report } from './events.ts';
import type { Guard } from './presence.ts';
import type { Request } from './request.ts';
import type { Session } from './session.ts';
import type { Whose } from './storage.ts';
import { UUID } from './uuid.ts';

/** An answer to a user's question about the own sessions. */
export interface Answer {
  readonly status: number;
  readonly body: object;
  readonly headers?: { readonly [name: string]: string };
  readonly hasEndedCurrent: boolean;
}

/**
 * Lists and ends the sessions of a signed-in user, under the configured end of the path:
 *
 * - `GET …/_sessions` lists, `DELETE …/_sessions` ends all
 * - `DELETE …/_sessions/others` ends all but the current one
 * - `DELETE …/_sessions/HANDLE` ends one
 *
 * DELETE is no simple method, so no page of another origin can send it without leave (CORS; ASVS 3.5.1). Handles
 * authenticate nobody. `undefined` = the request is about something else.
 */
export async function serve(
  guard: Guard,
  request: Request,
  consumerId: string,
  current: Session | undefined,
): Promise<Answer | undefined> {
  const { method, path } = await request.line();
  const target = targetOf(path, guard.config.selfServicePath ?? '');
  if (target === undefined) return undefined;
  const { audience, realm, remember, idleFor } = guard.config;
  const whose: Whose = {
    consumerId,
    audience,
    realm,
    idleFor,
    ...(remember && { rememberRealm: remember.realm }),
    ...(current && { current }),
  };
  if (method === 'GET' && target === '') return list(guard, whose);
  if (method === 'DELETE') return end(guard, whose, target);
  const allow = target === '' ? 'GET, DELETE' : 'DELETE';
  return answer(405, { message: 'Method not allowed' }, false, { Allow: allow });
}

/** `''` for all sessions, else `others` or a handle. */
function targetOf(path: string, base: string): string | undefined {
  if (path.endsWith(base)) return '';
  const slash = path.lastIndexOf('/');
  const last = path.slice(slash + 1);
  if (!path.slice(0, slash).endsWith(base)) return undefined;
  return last === 'others' || UUID.test(last) ? last : undefined;
}

/** One entry for each sign-in: that of the request by its own session, whatever else was restored of it. */
async function list({ storage }: Guard, whose: Whose): Promise<Answer> {
  const { current } = whose;
  const sessions = (await storage.list(whose)).map((session) => {
    const isCurrent = session.family === current?.family;
    return show(isCurrent ? current : session, isCurrent);
  });
  return answer(200, { sessions }, false);
}

const show = (session: Session, isCurrent: boolean): object => ({
  id: session.handle,
  current: isCurrent,
  signed_in_at: new Date(session.authenticatedAt).toISOString(),
  last_seen_at: new Date(session.seenAt).toISOString(),
  ...(session.data.ip !== undefined && { ip: toText(session.data.ip) }),
  ...(session.data.userAgent !== undefined && { user_agent: toText(session.data.userAgent) }),
});

/** Byte strings as the text they were. */
const toText = (octets: string): string => Buffer.from(octets, 'latin1').toString();

async function end({ storage, config }: Guard, whose: Whose, target: string): Promise<Answer> {
  const { current, consumerId, audience } = whose;
  const at = config.place;
  if (target !== '' && target !== 'others') {
    const ended = await storage.endByHandle(whose, target);
    if (ended === undefined) return answer(404, { message: 'No such session' }, false);
    const session = { handle: target, consumerId, audience };
    report('session_ended', { session, at, reason: 'self-service' });
    return answer(200, { ended: ended.count ?? null }, ended.current);
  }
  const isAll = target === '';
  const ended = await storage.endOthers(whose, isAll ? undefined : current?.family);
  const reason = `self-service: ${isAll ? 'all' : 'others'}`;
  report('session_ended', { session: { consumerId, audience }, at, reason });
  return answer(200, { ended: ended.count ?? null }, ended.current);
}

const answer = (
  status: number,
  body: object,
  hasEndedCurrent: boolean,
  headers?: { [name: string]: string },
): Answer => ({ status, body, hasEndedCurrent, ...(headers && { headers }) });
