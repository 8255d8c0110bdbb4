import { test } from 'node:test';
import { program } from './fuzz.ts';
import { assertHeld } from './held.ts';

test('ten thousand cookies that nobody issued prove nothing and reach no database', async () => {
  const figures = await program.run({ count: 10_000, seed: 20_261_122 });
  // How fast is for the whole verification to say: this machine may be busy with other tests.
  const counts = figures.filter(({ unit }) => unit === undefined);
  assertHeld(counts);
});
