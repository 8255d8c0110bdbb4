import { test } from 'node:test';
import { program } from './alterations.ts';
import { assertHeld } from './held.ts';

test('a token of each kind, altered in every single way, is refused', async () => {
  const figures = await program.run({ count: 1, seed: 20_261_122 });
  assertHeld(figures);
});
