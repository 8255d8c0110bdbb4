import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CookieStorage } from '../../lib/cookie-storage.ts';
import { deliberate } from '../../lib/guard.ts';
import { recognise } from '../../lib/recognition.ts';
import { alice, openGuard, requestOf, signInAs, Visitor } from '../support/visitor.ts';

const step = fc.record({
  /** Seconds. */
  wait: fc.oneof(
    { weight: 3, arbitrary: fc.integer({ min: 0, max: 20 }) },
    { weight: 1, arbitrary: fc.integer({ min: 0, max: 4000 }) },
  ),
  method: fc.constantFrom('GET', 'GET', 'GET', 'POST', 'DELETE'),
  target: fc.constantFrom('/', '/?session_logout=1'),
  beside: fc.constantFrom('', 'other=1; ', 'session=garbage; '),
});

test('the short cut decides as the guard does, or not at all', async () => {
  let recognised = 0;
  const property = fc.asyncProperty(
    fc.array(step, { minLength: 3, maxLength: 12 }),
    async (steps) => {
      const clock = { now: 1_800_000_000_000 };
      const storage = new CookieStorage(undefined, () => clock.now);
      const guard = openGuard(
        { rolling_timeout: 1200, absolute_timeout: 9000, consumer_ttl: 600 },
        storage,
      );
      const visitor = new Visitor();
      await visitor.visit(guard, signInAs(alice));
      for (const { wait, beside, ...visit } of steps) {
        clock.now += wait * 1000;
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
  await fc.assert(property, { numRuns: 600 });
  assert.ok(recognised > 50, `only ${recognised} requests took the short cut`);
});
