import { test } from 'node:test';
import { assertHeld } from './held.ts';
import { run } from './stop.ts';

test('a server that is told to stop finishes what it began', async () => {
  assertHeld(await run(1, false));
});
