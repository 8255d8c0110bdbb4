import assert from 'node:assert/strict';
import { test } from 'node:test';
import { run } from './half-open.ts';
import { isHeld } from './program.ts';

test('a LISTEN connection that goes silent is noticed, and nothing is accepted from memory then', async () => {
  for (const figure of await run(2)) assert.ok(isHeld(figure), JSON.stringify(figure));
});
