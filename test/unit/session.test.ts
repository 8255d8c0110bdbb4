import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isRenewalDue, judge, remaining } from '../../lib/session.ts';
import type { Session, Timeouts } from '../../lib/session.ts';

const T0 = 1_800_000_000_000;
const s = (seconds: number): number => seconds * 1000;

const timeouts: Timeouts = {
  idling: s(900),
  rolling: s(3600),
  absolute: s(86_400),
  stale: s(10),
  renew: s(900),
};

const session = (changes: Partial<Session> = {}): Session => ({
  key: 'k'.repeat(43),
  handle: '00000000-0000-4000-8000-000000000001',
  family: '00000000-0000-4000-8000-000000000002',
  kind: 'session',
  generation: 0,
  consumerId: 'c',
  credentialId: 'x',
  audience: 'default',
  realm: 'session kong session_guard',
  subject: undefined,
  data: {},
  authenticatedAt: T0,
  startedAt: T0,
  renewedAt: T0,
  previousRenewedAt: undefined,
  confirmedAt: undefined,
  seenAt: T0,
  ...changes,
});

const renewed = (changes: Partial<Session> = {}) =>
  session({
    generation: 1,
    previousRenewedAt: T0,
    renewedAt: T0 + s(3000),
    seenAt: T0 + s(3000),
    ...changes,
  });

test('a session is good at exactly its limits and not a millisecond longer', () => {
  const limits = [
    { name: 'idling', only: { ...timeouts, rolling: 0, absolute: 0 }, end: s(900) },
    { name: 'rolling', only: { ...timeouts, idling: 0, absolute: 0 }, end: s(3600) },
    { name: 'absolute', only: { ...timeouts, idling: 0, rolling: 0 }, end: s(86_400) },
  ];
  for (const { name, only, end } of limits) {
    assert.equal(judge(session(), 0, only, T0 + end), 'current', name);
    assert.equal(judge(session(), 0, only, T0 + end + 1), 'expired', name);
  }
});

test('one millisecond is a limit', () => {
  const none = { ...timeouts, idling: 0, rolling: 0, absolute: 0, renew: 0 };
  for (const name of ['idling', 'rolling', 'absolute'] as const) {
    const only = { ...none, [name]: 1 };
    assert.equal(judge(session(), 0, only, T0 + 1), 'current', name);
    assert.equal(judge(session(), 0, only, T0 + 2), 'expired', name);
    assert.deepEqual(remaining(session(), none, T0), {});
    assert.deepEqual(remaining(session(), only, T0), { [name]: 1 });
  }
  const short = { ...none, rolling: 1, renew: 1 };
  assert.equal(isRenewalDue(session(), short, T0), false);
  assert.equal(isRenewalDue(session(), short, T0 + 1), true);
});

test('nothing is left of a limit that has passed', () => {
  const later = T0 + s(100_000);
  const left = remaining(session(), timeouts, later);
  assert.deepEqual(left, { idling: s(900), rolling: 0, absolute: 0 });
});

test('of idle time as much is left as the last use has left', () => {
  const leftAfter = (seconds: number) => remaining(session(), timeouts, T0 + s(seconds), T0).idling;
  assert.deepEqual([0, 300, 900, 901].map(leftAfter), [s(900), s(600), 0, 0]);
});

test('0 switches a limit off', () => {
  const none = { ...timeouts, idling: 0, rolling: 0, absolute: 0 };
  assert.equal(judge(session(), 0, none, T0 + s(1e9)), 'current');
  assert.equal(isRenewalDue(session(), none, T0 + s(1e9)), false);
});

test('a moment in the future counts as now: clocks of nodes differ', () => {
  assert.equal(
    judge(session({ seenAt: T0 + s(5), renewedAt: T0 + s(5) }), 0, timeouts, T0),
    'current',
  );
});

test('the predecessor lives until its successor is presented, then for stale_ttl', () => {
  const unseen = renewed();
  assert.equal(judge(unseen, 0, timeouts, T0 + s(3600)), 'predecessor');
  const confirmed = renewed({ confirmedAt: T0 + s(3001) });
  assert.equal(judge(confirmed, 0, timeouts, T0 + s(3011)), 'predecessor');
  assert.equal(judge(confirmed, 0, timeouts, T0 + s(3011) + 1), 'replayed');
  assert.equal(judge(confirmed, 1, timeouts, T0 + s(3011) + 1), 'current');
});

test('the wait for the successor never prolongs the predecessor beyond its own rolling deadline', () => {
  const kept = renewed({ seenAt: T0 + s(3600) });
  assert.equal(judge(kept, 0, timeouts, T0 + s(3600)), 'predecessor');
  assert.equal(judge(kept, 0, timeouts, T0 + s(3600) + 1), 'superseded');
});

test('stale_ttl 0 ends the predecessor with the first use of its successor', () => {
  const confirmed = renewed({ confirmedAt: T0 + s(3001) });
  const strict = { ...timeouts, stale: 0 };
  assert.equal(judge(confirmed, 0, strict, T0 + s(3001)), 'predecessor');
  assert.equal(judge(confirmed, 0, strict, T0 + s(3001) + 1), 'replayed');
});

test('a generation before the predecessor is refused; it is a replay once a straggler cannot explain it', () => {
  const twice = session({
    generation: 2,
    previousRenewedAt: T0 + s(2700),
    renewedAt: T0 + s(2702),
    seenAt: T0 + s(2702),
  });
  assert.equal(judge(twice, 0, timeouts, T0 + s(2710)), 'superseded');
  assert.equal(judge(twice, 0, timeouts, T0 + s(2711)), 'replayed');
});

test('a generation newer than the session is unknown', () => {
  assert.equal(judge(session(), 1, timeouts, T0), 'unknown');
});

test('an expired session is expired for every generation', () => {
  for (const generation of [0, 1]) {
    assert.equal(judge(renewed(), generation, timeouts, T0 + s(3000) + s(901)), 'expired');
  }
});

test('a restored session has an absolute limit of its own', () => {
  const restored = session({
    startedAt: T0 + s(86_000),
    renewedAt: T0 + s(86_000),
    seenAt: T0 + s(86_500),
  });
  assert.equal(judge(restored, 0, timeouts, T0 + s(87_000)), 'current');
});

test('the renewal mark is the last quarter', () => {
  assert.equal(isRenewalDue(session(), timeouts, T0 + s(2700)), false);
  assert.equal(isRenewalDue(session(), timeouts, T0 + s(2700) + 1), true);
});

test('remaining times leave out what is switched off', () => {
  const left = remaining(session(), { ...timeouts, absolute: 0 }, T0 + s(600));
  assert.deepEqual(left, { idling: s(900), rolling: s(3000) });
});
