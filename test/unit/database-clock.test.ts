import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import type { TestContext } from 'node:test';
import { DatabaseClock } from '../../lib/database-clock.ts';

const NOW = 1_000_000;

/** A clock that learns from answers: [how long ago the question left, and the answer came, the database's time]. */
function learn(context: TestContext, ...answers: [sent: number, received: number, told: number][]) {
  mock.timers.enable({ apis: ['Date'], now: NOW });
  context.after(() => mock.timers.reset());
  const clock = new DatabaseClock();
  for (const [sent, received, told] of answers) clock.sample(NOW - sent, NOW - received, told);
  return clock.now() - NOW;
}

test('without an answer it is our clock', (context) => {
  assert.equal(learn(context), 0);
});

test('the first answer tells the offset to half of its way', (context) => {
  assert.equal(learn(context, [20, 0, NOW + 5000 - 10]), 5000);
});

test('an answer that agrees with the estimate changes nothing', (context) => {
  assert.equal(learn(context, [2, 0, NOW + 4999], [40, 0, NOW + 4980]), 5000);
});

test('a slow answer spoils nothing', (context) => {
  assert.equal(learn(context, [2, 0, NOW], [2000, 0, NOW - 1999]), 1);
});

test('a quick answer makes it exact', (context) => {
  assert.equal(learn(context, [2000, 0, NOW - 1900], [2, 0, NOW]), -1);
});

test('a clock that was set is followed as far as an answer proves it', (context) => {
  const offset = learn(context, [2, 0, NOW], [10, 0, NOW + 3600_000]);
  assert.ok(offset >= 3600_000 - 1 && offset <= 3600_000 + 10, `${offset}`);
});

test('an answer that came before its question proves nothing', (context) => {
  assert.equal(learn(context, [2, 0, NOW], [0, 500, NOW + 9000]), 1);
});
