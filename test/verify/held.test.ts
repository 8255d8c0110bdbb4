import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertHeld } from './held.ts';

test('a run that measured nothing, or nothing with a bound, or missed one, is no success', () => {
  const kept = { name: 'accepted', value: 0, atMost: 0 };
  assertHeld([kept, { name: 'tried', value: 10 }]);
  for (const figures of [[], [{ name: 'tried', value: 10 }], [kept, { ...kept, value: 1 }]]) {
    assert.throws(() => assertHeld(figures), assert.AssertionError);
  }
});
