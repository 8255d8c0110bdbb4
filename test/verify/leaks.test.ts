import { test } from 'node:test';
import { run } from './leaks.ts';
import { assertHeld } from './held.ts';

test('denials, sign-ins, sign-outs and changed configurations leave nothing behind', async () => {
  assertHeld(await run(300));
});
