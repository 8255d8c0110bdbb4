import { test } from 'node:test';
import { assertHeld } from './held.ts';
import { program } from './renewals.ts';

test('renewals of one session on four nodes', async () => {
  const figures = await program.run({ count: 300, seed: 20_261_122 });
  assertHeld(figures);
});
