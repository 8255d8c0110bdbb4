import { test } from 'node:test';
import { assertHeld } from './held.ts';
import { program } from './rotation.ts';

test('secrets are replaced under load without a sign-out, and a removed one opens nothing', async () => {
  const figures = await program.run({ count: 1, seed: 1 });
  assertHeld(figures);
});
