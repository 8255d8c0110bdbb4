import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Coalescing } from '../../../lib/server/coalescing.ts';

/** How long it pauses after a turn in which so much came while so many requests were under way. */
async function pausesAfter(running: number, chunks: number, microseconds = 150): Promise<number[]> {
  const pauses: number[] = [];
  const pause = (length: number) => void pauses.push(length);
  const { received } = new Coalescing({ running }, microseconds, pause);
  for (let count = 0; count < chunks; count++) received();
  assert.deepEqual(pauses, [], 'what came in the same turn is taken in first');
  await turn();
  return pauses;
}

test('a turn that brought little while much is under way is followed by one pause', async () => {
  for (const chunks of [1, 2, 4]) assert.deepEqual(await pausesAfter(4, chunks), [150]);
});

test('whoever is alone, or one of three, never waits', async () => {
  for (const running of [0, 1, 3]) assert.deepEqual(await pausesAfter(running, 1), []);
});

test('where much comes in one go there is no pause', async () => {
  assert.deepEqual(await pausesAfter(16, 5), []);
});

test('without microseconds there is none', async () => {
  assert.deepEqual(await pausesAfter(16, 1, 0), []);
});

test('each turn is looked at by itself, and what has ended meanwhile makes no one wait', async () => {
  const host = { running: 5 };
  let pauses = 0;
  const { received } = new Coalescing(host, 150, () => void (pauses += 1));
  for (let count = 0; count < 5; count++) received();
  await turn();
  received();
  await turn();
  assert.equal(pauses, 1, 'the second turn brought little');
  received();
  host.running = 3;
  await turn();
  assert.equal(pauses, 1);
});

test('a pause is as long as it was asked for', () => {
  const before = process.hrtime.bigint();
  const { received } = new Coalescing({ running: 4 }, 2000);
  received();
  return new Promise<void>((resolve) =>
    setImmediate(() => {
      const microseconds = Number(process.hrtime.bigint() - before) / 1000;
      assert.ok(microseconds >= 2000, `${microseconds} µs`);
      resolve();
    }),
  );
});
