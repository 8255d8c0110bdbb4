import { test } from 'node:test';
import { assertHeld } from './held.ts';
import { program } from './leaks.ts';

test('denials, sign-ins, sign-outs and changed configurations leave nothing behind', async () => {
  assertHeld(await program.run({ count: 300, seed: 1 }));
});
