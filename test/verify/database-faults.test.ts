import assert from 'node:assert/strict';
import { test } from 'node:test';
import { run } from './database-faults.ts';
import { isHeld } from './program.ts';

test('a database that is killed lets nobody pass and loses no session', async () => {
  const scale = { rate: 20, lasts: 4000, isTimed: false };
  const figures = await run(scale, ({ name }) => name === 'killed');
  assert.notEqual(figures.length, 0);
  for (const figure of figures) assert.ok(isHeld(figure), JSON.stringify(figure));
});
