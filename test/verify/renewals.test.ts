import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isHeld } from './program.ts';
import { program } from './renewals.ts';

test('renewals of one session on four nodes', async () => {
  const figures = await program.run({ count: 300, seed: 20_261_122 });
  assert.deepEqual(
    figures.filter((figure) => !isHeld(figure)),
    [],
  );
});
