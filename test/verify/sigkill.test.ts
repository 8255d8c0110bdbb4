import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isHeld } from './program.ts';
import { run } from './sigkill.ts';

test('a plugin server that is killed lets nobody pass and loses no session', async () => {
  for (const figure of await run(1, 40)) assert.ok(isHeld(figure), JSON.stringify(figure));
});
