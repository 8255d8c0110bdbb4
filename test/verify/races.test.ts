import { test } from 'node:test';
import { assertHeld } from './held.ts';
import { program } from './races.ts';

test('a session that many requests meet at once on four nodes', async () => {
  const figures = await program.run({ count: 25, seed: 20_261_122 });
  assertHeld(figures);
});
