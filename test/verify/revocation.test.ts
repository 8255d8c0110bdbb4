import { test } from 'node:test';
import { assertHeld } from './held.ts';
import { program } from './revocation.ts';

test('logouts on one node are known to the other, with a notice and without', async () => {
  const figures = await program.run({ count: 40, seed: 20_261_122 });
  // How fast is for the whole verification to say: this machine may be busy with other tests.
  const counts = figures.filter(({ unit }) => unit !== 'ms');
  assertHeld(counts);
});
