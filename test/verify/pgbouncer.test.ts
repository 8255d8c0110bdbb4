import assert from 'node:assert/strict';
import { test } from 'node:test';
import { run } from './pgbouncer.ts';
import { isHeld } from './program.ts';

test('everything works behind PgBouncer in transaction mode', async (t) => {
  const figures = await run(2);
  if (figures === undefined) return t.skip('pgbouncer is not installed');
  for (const figure of figures) assert.ok(isHeld(figure), JSON.stringify(figure));
});
