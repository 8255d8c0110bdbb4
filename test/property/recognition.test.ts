import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Consumer } from '../../lib/consumers.ts';
import { CookieStorage } from '../../lib/cookie-storage.ts';
import { deliberate } from '../../lib/guard.ts';
import { recognise } from '../../lib/recognition.ts';
import { runs } from '../support/runs.ts';
import { alice, bob, openGuard, requestOf, signInAs, Visitor } from '../support/visitor.ts';

/** The first in six of seven draws. */
const mostly = <T>(usual: T, ...others: T[]): fc.Arbitrary<T> =>
  fc.oneof(
    { weight: 6, arbitrary: fc.constant(usual) },
    { weight: 1, arbitrary: fc.constantFrom(...others) },
  );

const CALM = {
  rolling_timeout: fc.constantFrom(1200, 90, 0),
  idling_timeout: fc.constantFrom(900, 30, 0),
  absolute_timeout: fc.constantFrom(9000, 100, 0),
  stale_ttl: fc.constantFrom(10, 0),
  consumer_ttl: fc.constantFrom(600, 5),
  logout_methods: mostly(['POST', 'DELETE'], ['GET']),
  audience: mostly('default', 'shop'),
};
/** What the short cut leaves to the guard. */
const SPECIAL = {
  bind: fc.constantFrom(['ip'], ['scheme', 'user-agent']),
  idle_exempt_header: fc.constant('x-poll'),
  idle_exempt_paths: fc.constant(['/poll']),
  self_service: fc.constant(true),
  remember: fc.constant(true),
};
const special = fc.oneof(
  ...Object.entries(SPECIAL).map(([name, value]) => ({
    weight: 1,
    arbitrary: fc.record<object>({ [name]: value }),
  })),
  { weight: 1, arbitrary: fc.record<object>(SPECIAL, { requiredKeys: [] }) },
  { weight: 3, arbitrary: fc.constant({}) },
);
const fields = fc.tuple(fc.record(CALM), special).map(([calm, more]) => ({ ...calm, ...more }));

const seconds = fc.oneof(
  { weight: 9, arbitrary: fc.integer({ min: 0, max: 20 }) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 4000 }) },
);
const step = fc.record({
  wait: seconds,
  beside: mostly('', 'other=1; ', 'session=garbage; '),
  visit: fc.record({
    method: mostly('GET', 'POST', 'DELETE'),
    target: mostly('/', '/?session_logout=1', '/poll', '/_sessions'),
    headers: mostly<string[]>([], ['x-poll']),
    traits: fc.record({
      ip: mostly('10.0.0.1', '10.0.0.2'),
      scheme: mostly('https', 'http'),
      'user-agent': mostly('A', 'B'),
    }),
  }),
  person: mostly<Consumer | undefined>(undefined, alice, bob),
});

const AT_HOME = { ip: '10.0.0.1', scheme: 'https', 'user-agent': 'A' };

test('the short cut decides as the guard does, or not at all', async () => {
  let recognised = 0;
  const property = fc.asyncProperty(
    fields,
    // A session may begin on one route and be presented on another.
    fc.option(fields, { nil: undefined }),
    fc.array(step, { minLength: 3, maxLength: 12 }),
    async (begins, presents, steps) => {
      const clock = { now: 1_800_000_000_000 };
      const storage = new CookieStorage(undefined, () => clock.now);
      const guard = openGuard(presents ?? begins, storage);
      const visitor = new Visitor();
      const signIn = { ...signInAs(alice), traits: AT_HOME };
      await visitor.visit(presents ? openGuard(begins, storage) : guard, signIn);
      for (const { wait, beside, person, visit: anybody } of steps) {
        clock.now += wait * 1000;
        const visit = { ...anybody, ...(person && signInAs(person)) };
        const request = requestOf(beside + visitor.cookies, visit);
        const quick = recognise(guard, request);
        const thorough = await deliberate(guard, request);
        if (quick) {
          assert.deepEqual(quick, thorough);
          recognised += 1;
        }
        await visitor.visit(guard, visit);
      }
    },
  );
  await fc.assert(property, runs(300));
  assert.ok(recognised > 30, `only ${recognised} requests took the short cut`);
});
