import { test } from 'node:test';
import { assertHeld } from './held.ts';
import { program } from './upgrade.ts';

test('releases share the tables, and refuse those they cannot work with', async () => {
  const figures = await program.run({ count: 6, seed: 1 });
  assertHeld(figures);
});
