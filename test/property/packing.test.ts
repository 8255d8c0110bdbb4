import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isRevokedBy } from '../../lib/notice.ts';
import { sessionPacking } from '../../lib/packing.ts';
import type { Session } from '../../lib/session.ts';
import { runs } from '../support/runs.ts';

const id = fc.oneof(fc.uuid(), fc.constantFrom('', '=', 'a"b', 'C:\\x', 'Ünï'), fc.string());
const moment = fc.integer({ min: 1_600_000_000_000, max: 2_000_000_000_000 });
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });

const session: fc.Arbitrary<Session> = fc.record({
  key: fc.base64String(),
  handle: fc.uuid(),
  family: fc.uuid(),
  kind: fc.constantFrom('session', 'remember'),
  generation: fc.nat(),
  consumerId: id,
  credentialId: maybe(id),
  audience: fc.constantFrom('default', 'other "one"'),
  realm: fc.constantFrom('session kong a', 'session kong b'),
  subject: maybe(fc.string()),
  data: fc.record({ username: fc.string(), groups: fc.array(fc.string()) }, { requiredKeys: [] }),
  authenticatedAt: moment,
  startedAt: moment,
  renewedAt: moment,
  previousRenewedAt: maybe(moment),
  confirmedAt: maybe(moment),
  seenAt: moment,
});

test('what is unpacked is what was packed', () => {
  const property = fc.property(session, (packed) => {
    const { key, family } = packed;
    const text = sessionPacking.pack(packed);
    assert.deepEqual(sessionPacking.unpack(text, { key, family }), {
      ...packed,
      data: { ...packed.data },
    });
  });
  fc.assert(property, runs(500));
});

test('no revocation overlooks what is packed', () => {
  const property = fc.property(session, id, moment, (packed, other, before) => {
    const text = sessionPacking.pack(packed);
    const targets = [
      { kind: 'consumer', target: packed.consumerId },
      { kind: 'consumer', target: other },
      { kind: 'credential', target: packed.credentialId ?? other },
      { kind: 'all', target: '' },
    ] as const;
    for (const target of targets) {
      const revocation = { ...target, before };
      if (isRevokedBy(packed, revocation)) assert.ok(sessionPacking.mayMean(revocation, text));
    }
  });
  fc.assert(property, runs(500));
});

test('a revocation that means somebody else need not unpack', () => {
  const property = fc.property(session, fc.uuid(), (packed, target) => {
    const text = sessionPacking.pack(packed);
    assert.ok(!sessionPacking.mayMean({ kind: 'consumer', target, before: 0 }, text));
  });
  fc.assert(property, runs(100));
});
