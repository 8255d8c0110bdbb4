import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isHeld } from './program.ts';
import { program } from './races.ts';

test('a session that many requests meet at once on four nodes', async () => {
  const figures = await program.run({ count: 25, seed: 20_261_122 });
  assert.deepEqual(
    figures.filter((figure) => !isHeld(figure)),
    [],
  );
});
