import { test } from 'node:test';
import { program } from './model.ts';
import { assertHeld } from './held.ts';

test('two nodes over Postgres do what a small model says, whatever is done to them', async () => {
  const figures = await program.run({ count: 80, seed: 20_261_122 });
  assertHeld(figures);
});
