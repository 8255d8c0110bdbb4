import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertHeld } from './held.ts';
import { program } from './prune.ts';

test('11,000 expired sessions go in batches, and those that are renewed meanwhile stay', async () => {
  const figures = await program.run({ count: 11_000, seed: 1 });
  const counts = figures.filter(({ unit }) => unit === undefined);
  assertHeld(counts);
  const statements = counts.find(({ name }) => name === 'statements');
  assert.equal(statements?.value, 7, 'six batches, and one that finds nothing');
});
