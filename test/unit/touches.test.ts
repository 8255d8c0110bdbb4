import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { mock, test } from 'node:test';
import type { TestContext } from 'node:test';
import type { Session } from '../../lib/session.ts';
import type { Use } from '../../lib/storage.ts';
import type { Touch } from '../../lib/store.ts';
import { applyTouch, Touches } from '../../lib/touches.ts';

const START = 1_000_000;
const LIFETIME = { rolling: 1000, absolute: 5000 };

const session = (fields: Partial<Session> = {}): Session => ({
  key: 'k',
  handle: 'h',
  family: 'f',
  kind: 'session',
  generation: 3,
  consumerId: 'c',
  credentialId: undefined,
  audience: 'a',
  realm: 'r',
  subject: undefined,
  data: {},
  authenticatedAt: START,
  startedAt: START,
  renewedAt: START,
  previousRenewedAt: undefined,
  confirmedAt: START,
  seenAt: START,
  ...fields,
});

const use = (generation: number, touchInterval: number): Use => ({
  generation,
  lifetime: LIFETIME,
  touchInterval,
  prolongs: true,
});

function open(context: TestContext, options: { max?: number } = {}) {
  mock.timers.enable({ apis: ['setTimeout', 'Date'], now: START });
  context.after(() => mock.timers.reset());
  const written: { at: number; touches: readonly Touch[] }[] = [];
  const log: string[] = [];
  const state = { isDown: false };
  const touches = new Touches({
    now: () => Date.now(),
    log: (event) => log.push(event),
    write: async (batch) => {
      if (state.isDown) throw new Error('down');
      written.push({ at: Date.now() - START, touches: batch });
    },
    onWritten: () => {},
    ...options,
  });
  return { touches, written, log, state };
}

async function pass(milliseconds: number): Promise<void> {
  for (let passed = 0; passed < milliseconds; passed += 50) {
    mock.timers.tick(50);
    await setImmediate();
  }
}

test('the last use inside an interval is written when that ends, once', async (context) => {
  const { touches, written } = open(context);
  for (let i = 0; i < 10; i++) {
    touches.note(session(), use(3, 60_000));
    await pass(1000);
  }
  await pass(48_000);
  assert.equal(written.length, 0);
  await pass(5000);
  assert.equal(written.length, 1);
  const [touch] = written[0]?.touches ?? [];
  assert.equal(touch?.seenAt, START + 9000);
  assert.equal(touch?.confirmed, undefined);
  await pass(120_000);
  assert.equal(written.length, 1);
});

test('a use after a quiet interval is written with the next tick', async (context) => {
  const { touches, written } = open(context);
  touches.note(session({ seenAt: START - 60_000 }), use(3, 60_000));
  await pass(1000);
  assert.deepEqual(
    written.map(({ at }) => at),
    [1000],
  );
});

test('intervals of a fraction of a second are kept', async (context) => {
  const { touches, written } = open(context);
  touches.note(session(), use(3, 250));
  await pass(400);
  assert.equal(written.length, 1);
});

test('a first presentation is written within 50 ms, together with others', async (context) => {
  const { touches, written } = open(context);
  touches.note(session({ key: 'a', confirmedAt: undefined }), use(3, 60_000));
  touches.note(session({ key: 'b', confirmedAt: undefined }), use(3, 60_000));
  touches.note(session({ key: 'c' }), use(3, 60_000));
  await pass(50);
  assert.deepEqual(
    written.map(({ touches: batch }) => batch.map(({ key, confirmed }) => [key, confirmed])),
    [['a', 'b'].map((key) => [key, { generation: 3, at: START }])],
  );
});

test('a use that prolongs nothing is noted only where it presents a generation first', async (context) => {
  const { touches, written } = open(context);
  const quiet = { ...use(3, 0), prolongs: false };
  mock.timers.tick(500);
  touches.note(session({ key: 'known' }), quiet);
  touches.note(session({ key: 'new', confirmedAt: undefined }), quiet);
  await pass(2000);
  assert.deepEqual(
    written.flatMap(({ touches: batch }) =>
      batch.map(({ key, seenAt, confirmed }) => [key, seenAt, confirmed]),
    ),
    [['new', START, { generation: 3, at: START + 500 }]],
  );
});

test('the use of a predecessor confirms nothing', async (context) => {
  const { touches, written } = open(context);
  touches.note(session({ confirmedAt: undefined }), use(2, 0));
  await pass(1000);
  assert.equal(written[0]?.touches[0]?.confirmed, undefined);
});

test('what is pending shows in the session, while it is written too', async (context) => {
  const { touches, state } = open(context);
  const old = session({ confirmedAt: undefined });
  mock.timers.tick(500);
  touches.note(old, use(3, 60_000));
  assert.deepEqual(touches.overlay(old), { ...old, seenAt: START + 500, confirmedAt: START + 500 });
  state.isDown = true;
  await pass(100);
  assert.equal(touches.overlay(old).seenAt, START + 500);
  const other = session({ key: 'other' });
  assert.equal(touches.overlay(other), other, 'untouched sessions stay the same object');
});

test('uses are kept while the store is down, and the newest of them counts', async (context) => {
  const { touches, written, log, state } = open(context);
  state.isDown = true;
  touches.note(session({ confirmedAt: undefined }), use(3, 1000));
  await pass(5000);
  touches.note(session(), { ...use(3, 1000), lifetime: { rolling: 0, absolute: 9000 } });
  await pass(5000);
  assert.deepEqual(log, ['touches_delayed'], 'said once');
  state.isDown = false;
  await pass(2000);
  assert.equal(written.length, 1);
  const [touch] = written[0]?.touches ?? [];
  assert.equal(touch?.seenAt, START + 5000);
  assert.deepEqual(touch?.confirmed, { generation: 3, at: START });
  assert.deepEqual(
    touch?.lifetime,
    { rolling: 0, absolute: 9000 },
    'the longer lifetime; 0 is the longest',
  );
});

test('only so many uses are kept, the oldest go first', async (context) => {
  const { touches, written, log } = open(context, { max: 3 });
  for (const key of ['a', 'b', 'c', 'd', 'e']) touches.note(session({ key }), use(3, 1000));
  await touches.flush();
  assert.deepEqual(
    written[0]?.touches.map(({ key }) => key),
    ['c', 'd', 'e'],
  );
  assert.deepEqual(log, ['touches_dropped']);
});

test('nothing is written about sessions that have ended', async (context) => {
  const { touches, written } = open(context);
  touches.note(session({ key: 'a', confirmedAt: undefined }), use(3, 0));
  touches.note(session({ key: 'b' }), use(3, 0));
  touches.forget(['a', 'unknown']);
  await pass(2000);
  assert.deepEqual(
    written.flatMap(({ touches: batch }) => batch.map(({ key }) => key)),
    ['b'],
  );
});

test('a flush writes everything in batches; after a stop nothing is written by itself', async (context) => {
  const { touches, written } = open(context);
  touches.stop();
  for (let i = 0; i < 1201; i++) touches.note(session({ key: `k${i}` }), use(3, 60_000));
  await pass(120_000);
  assert.equal(written.length, 0);
  await touches.flush();
  assert.deepEqual(
    written.map(({ touches: batch }) => batch.length),
    [500, 500, 201],
  );
});

test('a flush that fails says so and keeps everything', async (context) => {
  const { touches, written, state } = open(context);
  touches.note(session(), use(3, 60_000));
  state.isDown = true;
  await assert.rejects(touches.flush(), /down/);
  state.isDown = false;
  await touches.flush();
  assert.equal(written.length, 1);
});

test('a touch raises and confirms, or leaves the session as it is', () => {
  const touch = {
    key: 'k',
    seenAt: START - 1,
    confirmed: { generation: 2, at: START },
    lifetime: LIFETIME,
  };
  const confirmed = session();
  assert.equal(applyTouch(confirmed, touch), confirmed);
  const unconfirmed = session({ confirmedAt: undefined });
  assert.equal(applyTouch(unconfirmed, touch), unconfirmed, 'another generation');
  const later = applyTouch(unconfirmed, { ...touch, confirmed: { generation: 3, at: START + 1 } });
  assert.deepEqual([later.confirmedAt, later.seenAt], [START + 1, START]);
});
