import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { Counter, Histogram, Registry } from 'prom-client';
import type { QueryEvent } from './database.ts';
import { EVENT_CODES, events, requests } from './events.ts';
import type { RequestTrace, SessionEvent } from './events.ts';
import type { Decision } from './guard.ts';
import { addStateMetrics } from './metrics-state.ts';

/** What became of a request, as `session_guard_requests_total` tells it. */
const RESULTS = [
  'pass',
  'renew', // passed, with a new cookie for the same session
  'deny_missing',
  'deny_invalid',
  'deny_expired',
  'deny_revoked',
  'logout',
  'unavailable',
] as const;
export type Result = (typeof RESULTS)[number];

const DENIALS = {
  missing: 'deny_missing',
  invalid: 'deny_invalid',
  expired: 'deny_expired',
  revoked: 'deny_revoked',
} as const;

/** `undefined`: the handler failed and the request was answered with 503. */
export function resultOf(decision: Decision | undefined): Result {
  switch (decision?.kind) {
    case 'session':
      return decision.cookies.length > 0 ? 'renew' : 'pass';
    case 'credential':
    case 'answer':
      return 'pass';
    case 'nobody':
      return DENIALS[decision.why];
    case 'logout':
      return 'logout';
    case 'unavailable':
    case undefined:
      return 'unavailable';
  }
}

/** Events that say how a renewal went. */
const RENEWALS: { readonly [code: string]: string } = {
  session_renewed: 'won',
  renewal_lost: 'lost',
  predecessor_used: 'stale',
};

const REQUEST_BUCKETS = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5,
];
const QUERY_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];

export interface Metrics {
  /** In Prometheus' text format. */
  readonly contentType: string;
  scrape(): Promise<string>;
  /** Nothing is counted any more. */
  close(): void;
}

/**
 * Counts what the channels of this process tell (events.ts, database.ts, backend.ts) from now on. Labels are codes of
 * ours and names of statements: never a person, a session, an address or a path, so their number is bounded.
 */
export function openMetrics(): Metrics {
  const registry = new Registry();
  const closes = [
    countRequests(registry),
    countEvents(registry),
    countQueries(registry),
    countStorageEvents(registry),
    addStateMetrics(registry),
  ];
  return {
    contentType: registry.contentType,
    scrape: () => registry.metrics(),
    close: () => {
      for (const close of closes) close();
    },
  };
}

type Close = () => void;

function listen(channel: string | symbol, listener: (message: unknown) => void): Close {
  subscribe(channel, listener);
  return () => void unsubscribe(channel, listener);
}

function countRequests(registry: Registry): Close {
  const total = new Counter({
    name: 'session_guard_requests_total',
    help: 'Requests by what became of them.',
    labelNames: ['result'],
    registers: [registry],
  });
  const duration = new Histogram({
    name: 'session_guard_request_duration_seconds',
    help: 'Time from the first to the last word with Kong about a request.',
    buckets: REQUEST_BUCKETS,
    registers: [registry],
  });
  // Bound once: the way of every request goes through here.
  const byResult = Object.fromEntries(
    RESULTS.map((result) => [result, total.labels(result)]),
  ) as Record<Result, Counter.Internal>;
  for (const counter of Object.values(byResult)) counter.inc(0);
  return listen(requests.asyncEnd.name, (message) => {
    const { startedAt, result } = message as RequestTrace;
    byResult[resultOf(result)].inc();
    duration.observe((performance.now() - startedAt) / 1000);
  });
}

function countEvents(registry: Registry): Close {
  const total = new Counter({
    name: 'session_guard_events_total',
    help: 'What happened to sessions, by code; those of the log.',
    labelNames: ['code'],
    registers: [registry],
  });
  const renewals = new Counter({
    name: 'session_guard_renewals_total',
    help: 'Renewals that this node won, or lost to another, and uses of a predecessor in its grace (stale).',
    labelNames: ['result'],
    registers: [registry],
  });
  for (const code of EVENT_CODES) total.inc({ code }, 0);
  for (const result of Object.values(RENEWALS)) renewals.inc({ result }, 0);
  return listen(events.name, (message) => {
    const { code } = message as SessionEvent;
    total.inc({ code });
    const result = RENEWALS[code];
    if (result !== undefined) renewals.inc({ result });
  });
}

function countQueries(registry: Registry): Close {
  const duration = new Histogram({
    name: 'session_guard_store_query_duration_seconds',
    help: 'Time of a statement, waiting for a connection included.',
    labelNames: ['op'],
    buckets: QUERY_BUCKETS,
    registers: [registry],
  });
  const errors = new Counter({
    name: 'session_guard_store_errors_total',
    help: 'Statements that failed, by SQLSTATE, code of the system, or "timeout".',
    labelNames: ['code'],
    registers: [registry],
  });
  return listen('session-guard.query', (message) => {
    const { name, milliseconds, error } = message as QueryEvent;
    duration.observe({ op: name }, milliseconds / 1000);
    if (error !== undefined) errors.inc({ code: errorCode(error) });
  });
}

/** SQLSTATE, code of the system, `timeout` or `other`. */
export function errorCode(error: unknown): string {
  if (!(error instanceof Error)) return 'other';
  if ('code' in error && typeof error.code === 'string' && /^[A-Z0-9_]{1,40}$/.test(error.code)) {
    return error.code;
  }
  return /timeout/i.test(error.message) ? 'timeout' : 'other';
}

function countStorageEvents(registry: Registry): Close {
  const total = new Counter({
    name: 'session_guard_storage_events_total',
    help: 'What the storage had to say, by event; those of the log.',
    labelNames: ['event'],
    registers: [registry],
  });
  const pruned = new Counter({
    name: 'session_guard_pruned_total',
    help: 'Expired sessions that this node deleted.',
    registers: [registry],
  });
  const lost = new Counter({
    name: 'session_guard_audit_lost_total',
    help: 'Entries of the audit that were not written.',
    registers: [registry],
  });
  return listen('session-guard.storage', (message) => {
    const { event, sessions, count } = message as {
      event: string;
      sessions?: number;
      count?: number;
    };
    total.inc({ event });
    if (event === 'audit_lost') lost.inc(count ?? 0);
    if (event === 'pruned') pruned.inc(sessions ?? 0);
  });
}
