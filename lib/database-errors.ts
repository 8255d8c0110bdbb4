import { SessionError } from './errors.ts';

/** Of a statement, by ourselves: the connection may never answer again. */
export const isTimeout = (error: unknown): boolean =>
  error instanceof Error && error.message === 'Query read timeout';

export function rejectAsUnavailable(cause: unknown): never {
  throw unavailable(cause);
}

/** The cause may name a host, a user or a column, but never a password or a connection string. */
function unavailable(cause: unknown): SessionError {
  if (cause instanceof SessionError) return cause;
  const code = (cause as { code?: unknown } | null)?.code;
  const detail =
    typeof code === 'string' ? code : cause instanceof Error ? cause.message : 'unknown';
  return new SessionError('ERR_STORE_UNAVAILABLE', `the database did not do its work: ${detail}`, {
    cause,
  });
}
