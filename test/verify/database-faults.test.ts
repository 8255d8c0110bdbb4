import assert from 'node:assert/strict';
import { test } from 'node:test';
import { run } from './database-faults.ts';
import { assertHeld } from './held.ts';

const TRIED = ['killed', 'restarted', 'all our backends terminated', 'no connection left'];

test('a database in trouble lets nobody pass wrongly, loses no session and is used again', async () => {
  // As long as the cache is trusted, and a little longer.
  const scale = { rate: 20, lasts: 3000, quiet: 300, isTimed: false };
  const figures = await run(scale, ({ name }) => TRIED.includes(name));
  assert.ok(TRIED.every((trouble) => figures.some(({ name }) => name.startsWith(trouble))));
  assertHeld(figures);
});
