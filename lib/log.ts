import { pino } from 'pino';
import type { DestinationStream, Logger } from 'pino';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

/** Called as `log.warn({ field }, 'what happened')`. Fields never hold cookies, tokens, configurations or PDK arguments. */
export type Log = Pick<Logger, 'debug' | 'info' | 'warn' | 'error' | 'fatal'>;

/** What a log line tells about an error. Other properties stay out: those of database errors quote values. */
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
 * Standard error, written synchronously: the last words of a dying process must arrive. Kong reads the child's stdout
 * and stderr as one stream, and the query command's stdout belongs to its JSON.
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
