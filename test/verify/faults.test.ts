import assert from 'node:assert/strict';
import { test } from 'node:test';
import { run } from './faults.ts';
import { isHeld } from './program.ts';

test('one fault in each kind of request: nobody passes, nothing hangs, nothing is lost', async () => {
  for (const figure of await run(1, 20_261_122)) assert.ok(isHeld(figure), JSON.stringify(figure));
});
