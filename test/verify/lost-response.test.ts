import { test } from 'node:test';
import { assertHeld } from './held.ts';
import { program } from './lost-response.ts';

test('lost responses to renewals, and old cookies replayed', async () => {
  const figures = await program.run({ count: 30, seed: 20_261_122 });
  assertHeld(figures);
});
