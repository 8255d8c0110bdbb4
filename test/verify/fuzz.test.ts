import assert from 'node:assert/strict';
import { test } from 'node:test';
import { program } from './fuzz.ts';
import { isHeld } from './program.ts';

test('twenty thousand cookies that nobody issued prove nothing and reach no database', async () => {
  const figures = await program.run({ count: 20_000, seed: 20_261_122 });
  assert.deepEqual(
    figures.filter((figure) => !isHeld(figure)),
    [],
  );
});
