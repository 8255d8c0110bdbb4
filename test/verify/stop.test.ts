import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isHeld } from './program.ts';
import { run } from './stop.ts';

test('a server that is told to stop finishes what it began', async () => {
  for (const figure of await run(1, false)) assert.ok(isHeld(figure), JSON.stringify(figure));
});
