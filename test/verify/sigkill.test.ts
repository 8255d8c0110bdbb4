import { test } from 'node:test';
import { assertHeld } from './held.ts';
import { run } from './sigkill.ts';

test('a plugin server that is killed lets nobody pass and loses no session', async () => {
  assertHeld(await run(1, 40));
});
