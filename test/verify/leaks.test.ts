import assert from 'node:assert/strict';
import { test } from 'node:test';
import { run } from './leaks.ts';
import { isHeld } from './program.ts';

test('denials, sign-ins, sign-outs and changed configurations leave nothing behind', async () => {
  for (const figure of await run(300)) assert.ok(isHeld(figure), JSON.stringify(figure));
});
