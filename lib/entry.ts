import type { Config } from './config.ts';
import type { Session } from './session.ts';
import type { Entry } from './token.ts';

/** What a cookie says about a session: its id and generation, and with storage `cookie` all of it. */
export function entryOf({ storage }: Config, id: string, session: Session): Entry {
  const { audience, generation } = session;
  if (storage === 'kong') return { audience, id, generation };
  const { handle, family, consumerId, credentialId, subject, data } = session;
  const { authenticatedAt, startedAt, renewedAt, seenAt } = session;
  return {
    audience,
    id,
    generation,
    content: {
      handle,
      family,
      consumerId,
      credentialId,
      subject,
      data,
      authenticatedAt,
      startedAt,
      renewedAt,
      seenAt,
    },
  };
}
