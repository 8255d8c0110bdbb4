import { test } from 'node:test';
import { run } from './half-open.ts';
import { assertHeld } from './held.ts';

test('a LISTEN connection that goes silent is noticed, and nothing is accepted from memory then', async () => {
  assertHeld(await run(2));
});
