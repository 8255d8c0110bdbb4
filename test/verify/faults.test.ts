import { test } from 'node:test';
import { run } from './faults.ts';
import { assertHeld } from './held.ts';

test('one fault in each kind of request: nobody passes, nothing hangs, nothing is lost', async () => {
  assertHeld(await run(1, 20_261_122));
});
