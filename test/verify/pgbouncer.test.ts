import assert from 'node:assert/strict';
import { test } from 'node:test';
import { run } from './pgbouncer.ts';
import { assertHeld } from './held.ts';

test('everything works behind PgBouncer in transaction mode', async (t) => {
  const figures = await run(2);
  if (figures === undefined) {
    assert.notEqual(process.env['CI'], 'true', 'pgbouncer is not installed');
    return t.skip('pgbouncer is not installed');
  }
  assertHeld(figures);
});
