import type { AdminSession } from '../admin-store.ts';
import { isoTime } from './format.ts';
import type { Person } from './person.ts';

/** A session as list and show print it in JSON. Handles authenticate nobody; keys and ids stay where they are. */
export const toJson = (session: AdminSession, person: Person) => ({
  handle: session.handle,
  family: session.family,
  kind: session.kind,
  state: session.state,
  consumer_id: session.consumerId,
  credential_id: session.credentialId ?? null,
  audience: session.audience,
  realm: session.realm,
  subject: session.subject ?? null,
  generation: session.generation,
  authenticated_at: isoTime(session.authenticatedAt) ?? null,
  renewed_at: isoTime(session.renewedAt) ?? null,
  seen_at: isoTime(session.seenAt) ?? null,
  expires_at: isoTime(session.expiresAt) ?? null,
  ...person,
});
