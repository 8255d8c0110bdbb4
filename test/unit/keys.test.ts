import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { KeyRing } from '../../lib/keys.ts';

const DAY = 86_400_000;
const NOW = 20_000 * DAY;
const SECRET = randomBytes(32).toString('base64');
const OTHER = randomBytes(32).toString('base64');
const REALM = 'session kong session_guard';

const ring = (secrets = [SECRET], longest = DAY) => new KeyRing(secrets, REALM, longest);

test('the kid changes with the first millisecond of a day (UTC)', () => {
  const kid = ring().sealingKid(NOW);
  assert.match(kid, /^[\w-]{11}\.20000$/);
  assert.equal(ring().sealingKid(NOW + DAY - 1), kid);
  assert.match(ring().sealingKid(NOW + DAY), /\.20001$/);
  assert.match(ring().sealingKid(NOW - 1), /\.19999$/);
});

test('a kid is known from the day before its own until no cookie of it can be alive', () => {
  const kid = ring().sealingKid(NOW);
  assert.equal(ring().knows(kid, NOW - DAY), true);
  assert.equal(ring().knows(kid, NOW - DAY - 1), false);
  assert.equal(ring().knows(kid, NOW + 401 * DAY - 1), true);
  assert.equal(ring().knows(kid, NOW + 401 * DAY), false);
  // A lifetime of 500 days and an hour touches 501 of them.
  const long = ring([SECRET], 500 * DAY + 3_600_000);
  assert.equal(long.knows(kid, NOW + 502 * DAY - 1), true);
  assert.equal(long.knows(kid, NOW + 502 * DAY), false);
  assert.equal(ring([SECRET], 0).knows(kid, NOW + 10_000 * DAY), true);
});

test('one spelling of a kid', () => {
  const [id = ''] = ring().sealingKid(NOW).split('.');
  for (const day of [
    '020000',
    '+20000',
    '20000 ',
    ' 20000',
    '2e4',
    '20000.',
    '',
    '-1',
    '1999999',
  ]) {
    assert.equal(ring().knows(`${id}.${day}`, NOW), false, day);
  }
  assert.equal(ring([SECRET], 0).knows(`${id}.0`, NOW), true);
  assert.equal(ring([SECRET], 0).knows(`${id}.00`, NOW), false);
  for (const kid of [id, '.20000', `${id}x.20000`, `${id.slice(1)}.20000`]) {
    assert.equal(ring().knows(kid, NOW), false, kid);
  }
});

test('the first secret seals; which one sealed can be told', () => {
  const both = ring([SECRET, OTHER]);
  const [first, second] = [ring().sealingKid(NOW), ring([OTHER]).sealingKid(NOW)];
  assert.equal(both.sealingKid(NOW), first);
  assert.equal(both.isFallback(first), false);
  assert.equal(both.isFallback(second), true);
  assert.ok(both.knows(first, NOW) && both.knows(second, NOW));
  assert.equal(ring().knows(second, NOW), false);
});

test('a key is derived once, and none for an unknown kid', async () => {
  const kid = ring().sealingKid(NOW);
  assert.equal(ring().key('session', kid), ring().key('session', kid));
  assert.notEqual(ring().key('session', kid), ring().key('remember', kid));
  const { algorithm, extractable, usages } = await ring().key('session', kid);
  assert.deepEqual(algorithm, { name: 'AES-GCM', length: 256 });
  assert.equal(extractable, false);
  assert.deepEqual([...usages].toSorted(), ['decrypt', 'encrypt']);
  assert.throws(() => ring().key('session', ring([OTHER]).sealingKid(NOW)), {
    message: /unknown kid/,
  });
  assert.throws(() => new KeyRing([], REALM, DAY).sealingKid(NOW), { message: /needs a secret/ });
});

test('rings are one where secrets and realm are', () => {
  assert.equal(ring().identity, ring().identity);
  assert.notEqual(ring().identity, ring([OTHER]).identity);
  assert.notEqual(ring([SECRET, OTHER]).identity, ring([OTHER, SECRET]).identity);
  assert.notEqual(ring().identity, new KeyRing([SECRET], 'other', DAY).identity);
  assert.ok(!ring().identity.includes(SECRET));
});
