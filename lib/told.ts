import { subjectOf } from './consumers.ts';
import type { Told } from './fields.ts';
import { remaining } from './session.ts';
import type { Remaining, Session, Timeouts } from './session.ts';

/** `idling-timeout` → `Session-Idling-Timeout`. */
export const headerOf = (told: Told): string =>
  `Session-${told.replace(/(^|-)[a-z]/g, (letter) => letter.toUpperCase())}`;

/** What `request_headers` or `response_headers` tell about a session; a limit that is switched off is left out. */
export function sessionHeaders(
  told: readonly Told[],
  session: Session,
  timeouts: Timeouts,
  now: number,
  idleSince?: number,
): Record<string, string> {
  const left = remaining(session, timeouts, now, idleSince);
  const headers = told.map((name) => [headerOf(name), valueOf(name, session, left, now)]);
  return Object.fromEntries(headers.filter(([, value]) => value !== undefined)) as Record<
    string,
    string
  >;
}

function valueOf(name: Told, session: Session, left: Remaining, now: number): string | undefined {
  switch (name) {
    case 'id':
      return session.handle;
    case 'audience':
      return session.audience;
    case 'subject':
      return subjectOf({ id: session.consumerId, ...session.data });
    case 'age':
      return seconds(Math.max(0, now - session.authenticatedAt));
    case 'idling-timeout':
      return seconds(left.idling);
    case 'rolling-timeout':
      return seconds(left.rolling);
    case 'absolute-timeout':
      return seconds(left.absolute);
    case 'timeout': {
      const all = Object.values(left) as number[];
      return all.length === 0 ? undefined : seconds(Math.min(...all));
    }
  }
}

const seconds = (milliseconds: number | undefined): string | undefined =>
  milliseconds === undefined ? undefined : String(Math.round(milliseconds / 1000));
