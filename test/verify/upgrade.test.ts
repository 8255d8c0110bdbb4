import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isHeld } from './program.ts';
import { program } from './upgrade.ts';

test('releases share the tables, and refuse those they cannot work with', async () => {
  const figures = await program.run({ count: 6, seed: 1 });
  assert.notEqual(figures.length, 0);
  assert.deepEqual(
    figures.filter((figure) => !isHeld(figure)),
    [],
  );
});
