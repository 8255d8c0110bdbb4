import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isHeld } from './program.ts';
import { program } from './rotation.ts';

test('secrets are replaced under load without a sign-out, and a removed one opens nothing', async () => {
  const figures = await program.run({ count: 1, seed: 1 });
  assert.notEqual(figures.length, 0);
  assert.deepEqual(
    figures.filter((figure) => !isHeld(figure)),
    [],
  );
});
