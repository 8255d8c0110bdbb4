import { channel, tracingChannel } from 'node:diagnostics_channel';
import type { Config } from './config.ts';
import type { Decision } from './guard.ts';
import type { Pdk } from './pdk.ts';

/** What happens to sessions, for logs and metrics. Codes are part of the product: they do not change. */
export const EVENT_CODES = [
  'session_created',
  'session_renewed', // this request raised the generation
  'renewal_lost', // another request had raised it already
  'predecessor_used', // in its grace, after a renewal
  'session_ended', // by logout
  'session_replaced', // by a sign-in in the same browser, of whomever
  'session_expired',
  'session_replayed',
  'session_restored', // by the persistent cookie
  'session_bound_elsewhere',
  'session_limit',
  'old_names',
  'consumer_gone',
  'consumer_undecided',
  'credential_gone',
  'credential_undecided',
  'credential_without_consumer',
  'no_auth_plugin',
  'cookie_refused',
  'session_too_large',
  'login_without_session', // the store was down; the request passed on its credential
  'store_unavailable',
  'handler_failed',
] as const;
export type EventCode = (typeof EVENT_CODES)[number];

/** Where in Kong's configuration something happened. One object for each instance of the plugin. */
export interface Place {
  /** Id of the route, where the plugin belongs to one. */
  readonly route?: string;
  /** Name or id of the plugin's entity. */
  readonly instance?: string;
}

/** The session that an event is about, as far as it is known. Ids as byte strings (pdk.ts). */
interface Concerned {
  readonly handle?: string;
  readonly family?: string;
  readonly consumerId?: string;
  readonly audience?: string;
}

/** Never a cookie, a token, a key, a secret or a name of a person: handles, ids and reasons only. */
export interface EventFields {
  readonly session?: Concerned;
  readonly at?: Place;
  readonly reason?: string;
}

export interface SessionEvent extends EventFields {
  readonly code: EventCode;
}

/** Costs nothing while nobody listens (node:diagnostics_channel). */
export const events = channel('session-guard');

/** One request, as the subscribers of `requests` see it grow. */
export interface RequestTrace {
  /** On the clock of performance.now. */
  readonly startedAt: number;
  /** A subscriber of `start` may put another in its place. */
  pdk: Pdk;
  /** Under which configuration. */
  readonly config: Pick<Config, 'storage' | 'audience' | 'place'>;
  /** From `asyncEnd` on; `undefined` where the handler failed. */
  readonly result?: Decision | undefined;
}

/** Requests from their first to their last word with Kong. As long as nobody subscribes none is traced. */
export const requests = tracingChannel<unknown, RequestTrace>('session-guard.request');

export function report(code: EventCode, fields: EventFields = {}): void {
  if (events.hasSubscribers) events.publish({ code, ...fields } satisfies SessionEvent);
}
