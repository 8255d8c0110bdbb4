import { subscribe } from 'node:diagnostics_channel';
import { pino } from 'pino';
import type { DestinationStream, Logger } from 'pino';
import { events } from './events.ts';
import type { EventCode, SessionEvent } from './events.ts';
import { repetitionOf, Repetitions } from './repetitions.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

/**
 * Called as `log.warn({ field }, 'what happened')`. Fields never hold cookies, tokens,
 * configurations or PDK arguments.
 */
export type Log = Pick<Logger, 'debug' | 'info' | 'warn' | 'error' | 'fatal'>;

/**
 * What a log line tells about an error. Other properties stay out: those of database errors quote
 * values.
 */
function describe(err: unknown): object {
  if (!(err instanceof Error)) return { message: String(err) };
  const code = 'code' in err && typeof err.code === 'string' ? err.code : undefined;
  return {
    type: err.name,
    ...(code !== undefined && { code }),
    message: err.message,
    stack: err.stack,
    ...(err.cause instanceof Error && { cause: err.cause.message }),
  };
}

/**
 * Standard error, written synchronously: the last words of a dying process must arrive. Kong reads
 * the child's stdout and stderr as one stream, and the query command's stdout belongs to its JSON.
 */
function standardError(): DestinationStream {
  const stream = pino.destination({ fd: 2, sync: true });
  // Nobody reads any more, which happens when Kong dies first. There is no one left to tell.
  stream.on('error', () => undefined);
  return stream;
}

/** One JSON object per line. */
export const createLog = (
  level: LogLevel = 'info',
  destination: DestinationStream = standardError(),
): Logger =>
  pino(
    {
      level,
      base: { pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: describe },
    },
    destination,
  );

/** The log of this process. */
export const log = createLog();

/**
 * What every visitor or every request can cause is for debugging; what somebody should look at is a
 * warning.
 */
const LEVELS: Record<EventCode, 'debug' | 'info' | 'warn' | 'error'> = {
  session_created: 'info',
  session_renewed: 'debug',
  renewal_lost: 'debug',
  predecessor_used: 'debug',
  session_ended: 'info',
  session_replaced: 'info',
  session_expired: 'debug',
  session_replayed: 'warn',
  session_restored: 'info',
  session_bound_elsewhere: 'warn',
  session_limit: 'info',
  old_names: 'warn',
  consumer_gone: 'info',
  credential_gone: 'info',
  credential_undecided: 'warn',
  consumer_undecided: 'warn',
  credential_without_consumer: 'warn',
  no_auth_plugin: 'warn',
  cookie_refused: 'debug',
  session_too_large: 'error',
  login_without_session: 'warn',
  store_unavailable: 'error',
  handler_failed: 'error',
};

const PAUSE_MS = 1000;

/**
 * Writes the plugin's events to the log, one line each. Those that concern no session in particular
 * come with every request of an outage: of these one a second is written for each code. Of what one
 * client can repeat at will with a session it is one a minute. With the next line comes the number of
 * those left out.
 */
export function logEvents(to: Log): void {
  const repetitions = new Repetitions();
  events.subscribe((message) => {
    const event = message as SessionEvent;
    const { code, session, at, reason } = event;
    const omitted = session ? omittedOf(repetitions, event) : repetitions.next(code, PAUSE_MS);
    if (omitted === undefined) return;
    const fields = { event: code, handle: session?.handle, ...at, reason };
    to[LEVELS[code]]({ ...fields, ...(omitted > 0 && { omitted }) }, code);
  });
}

function omittedOf(repetitions: Repetitions, event: SessionEvent): number | undefined {
  const name = repetitionOf(event.code, event);
  return name === undefined ? 0 : repetitions.next(name);
}

/** Which lines of the storage somebody should look at; the others are only told. */
const TROUBLES = new Set([
  'audit_delayed',
  'audit_lost',
  'bus_lost',
  'tables_not_ready',
  'touches_delayed',
  'touches_dropped',
  'touches_lost',
  'prune_failed',
  'tidying_failed',
]);

/** Writes what the storage has to say (backend.ts): the listener, the tables, writes that were put off. */
export function logStorage(to: Log): void {
  subscribe('session-guard.storage', (message) => {
    const { event, error, ...fields } = message as { event: string; error?: unknown };
    const level = TROUBLES.has(event) ? 'warn' : 'info';
    to[level]({ event, ...fields, ...(error !== undefined && { err: error }) }, event);
  });
}
