import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Cache } from '../../lib/cache.ts';
import type { Cacheable } from '../../lib/cache.ts';

interface Known extends Cacheable {
  readonly generation: number;
}

const known = (fields: Partial<Known> = {}): Known => ({
  family: 'f',
  consumerId: 'c',
  credentialId: undefined,
  authenticatedAt: 1000,
  generation: 0,
  ...fields,
});

const ended = (family: string) => ({ kind: 'family', target: family, before: Infinity }) as const;

function open(max?: number) {
  const state = { now: 0, isTrusted: true };
  const cache = new Cache<Known>({
    max,
    isTrusted: () => state.isTrusted,
    clock: () => state.now,
  });
  return { cache, state };
}

const down = () => Promise.reject(new Error('down'));

/** A store's answer that arrives when the test says so. */
function slow() {
  const waiting: ((value: Known | null) => void)[] = [];
  const promise = new Promise<Known | null>((resolve) => waiting.push(resolve));
  return { question: () => promise, answer: (value: Known | null) => waiting.pop()?.(value) };
}

test('an answer is good until its question is as old as the time to live', async () => {
  const { cache, state } = open();
  const { question, answer } = slow();
  const asked = cache.ask('k', question);
  state.now = 300;
  answer(known());
  await asked;
  state.now = 999;
  assert.deepEqual(cache.peek('k', 1000), known());
  state.now = 1000;
  assert.equal(cache.peek('k', 1000), undefined);
  assert.deepEqual(cache.peek('k', 1001), known(), 'each reader has its own time to live');
  assert.equal(cache.peek('k', 0), undefined, '0 switches the cache off');
});

test('absence is remembered, the unknown is not taken for absent', async () => {
  const { cache } = open();
  await cache.ask('k', async () => null);
  assert.equal(cache.peek('k', 1000), null);
  assert.equal(cache.peek('other', 1000), undefined);
});

test('nothing is told while revocations may be missed', async () => {
  const { cache, state } = open();
  await cache.ask('k', async () => known());
  state.isTrusted = false;
  assert.equal(cache.peek('k', 1000), undefined);
});

test('a failed question is told to whoever asked and forgotten', async () => {
  const { cache } = open();
  await assert.rejects(cache.load('k', '', down), /down/);
  assert.equal(cache.peek('k', 1000), undefined);
  assert.deepEqual(await cache.load('k', '', async () => known()), known());
});

test('requests share a question until it leaves; a later one is not told what was true before it came', async () => {
  const { cache } = open();
  const sent: (() => void)[] = [];
  const answers: ((value: Known) => void)[] = [];
  const question = (onSent: () => void) => {
    sent.push(onSent);
    return new Promise<Known>((resolve) => answers.push(resolve));
  };
  const first = [cache.load('k', '', question), cache.load('k', '', question)];
  assert.equal(sent.length, 1);
  sent[0]?.();
  const second = [cache.load('k', '', question), cache.load('k', '', question)];
  assert.equal(sent.length, 2);
  answers[1]?.(known({ generation: 1 }));
  answers[0]?.(known({ generation: 0 }));
  assert.deepEqual(
    (await Promise.all(first)).map((value) => value?.generation),
    [0, 0],
  );
  assert.deepEqual(
    (await Promise.all(second)).map((value) => value?.generation),
    [1, 1],
  );
  assert.equal(
    cache.peek('k', 1000)?.generation,
    1,
    'the higher generation stays, whatever came last',
  );
});

test('those who may not share an answer ask for themselves', async () => {
  const { cache } = open();
  let count = 0;
  const question = async () => {
    count++;
    return known();
  };
  await Promise.all([cache.load('k', 'a', question), cache.load('k', 'b', question)]);
  assert.equal(count, 2);
});

test('a revocation during a question makes it asked again', async () => {
  const { cache } = open();
  const { question, answer } = slow();
  const asked = cache.ask('k', question, async () => null);
  cache.revoke(ended('f'));
  answer(known());
  assert.equal(await asked, null);
  assert.equal(cache.peek('k', 1000), null);
});

test('a revocation from before a question does not touch its answer', async () => {
  const { cache } = open();
  const other = slow();
  const pending = cache.ask('other', other.question); // keeps the revocation remembered
  cache.revoke(ended('f'));
  assert.deepEqual(await cache.ask('k', async () => known()), known());
  other.answer(null);
  await pending;
});

test('a session that is revoked at every attempt is gone', async () => {
  const { cache } = open();
  let attempts = 0;
  const asked = cache.ask('k', async () => {
    attempts++;
    cache.revoke(ended('f'));
    return known();
  });
  assert.equal(await asked, null);
  assert.equal(attempts, 3);
});

for (const [revocation, gone] of [
  [ended('f'), ['a', 'b']],
  [{ kind: 'consumer', target: 'c', before: 1000 }, ['a', 'c']],
  [{ kind: 'consumer', target: 'c', before: 999 }, []],
  [{ kind: 'credential', target: 'x', before: 5000 }, ['c']],
  [{ kind: 'all', target: '', before: 1500 }, ['a', 'c']],
  [ended('unknown'), []],
] as const) {
  test(`${revocation.kind} ${revocation.target} ${revocation.before} ends ${gone.length} of 3`, async () => {
    const { cache } = open();
    await cache.ask('a', async () => known());
    await cache.ask('b', async () => known({ consumerId: 'd', authenticatedAt: 2000 }));
    await cache.ask('c', async () => known({ family: 'g', credentialId: 'x' }));
    assert.deepEqual([...cache.revoke(revocation)].toSorted(), gone);
    for (const key of ['a', 'b', 'c'] as const) {
      const isGone = (gone as readonly string[]).includes(key);
      assert.equal(cache.peek(key, 1000) === undefined, isGone, key);
    }
  });
}

test('what is under way when notices were missed is not remembered', async () => {
  const { cache } = open();
  const { question, answer } = slow();
  await cache.ask('old', async () => known());
  const asked = cache.ask('k', question);
  cache.clear();
  answer(known());
  assert.deepEqual(await asked, known());
  assert.equal(cache.peek('k', 1000), undefined);
  assert.equal(cache.peek('old', 1000), undefined);
});

test('an amendment makes nothing younger and nothing out of nothing', async () => {
  const { cache, state } = open();
  await cache.ask('k', async () => known());
  state.now = 500;
  cache.amend('k', (value) => ({ ...value, authenticatedAt: 7 }));
  cache.amend('missing', (value) => value);
  assert.equal(cache.peek('k', 1000)?.authenticatedAt, 7);
  assert.equal(cache.peek('missing', 1000), undefined);
  state.now = 1000;
  assert.equal(cache.peek('k', 1000), undefined);
  state.now = 500;
  assert.deepEqual(cache.revoke(ended('f')), ['k'], 'still found by its family');
});

test('an answer that was under way when its session was amended is amended too', async () => {
  const { cache } = open();
  const [first, second, other] = [slow(), slow(), slow()];
  const answers = [
    cache.ask('k', first.question),
    cache.ask('k', second.question),
    cache.ask('gone', other.question),
  ];
  for (const key of ['k', 'gone']) cache.amend(key, (value) => ({ ...value, authenticatedAt: 7 }));
  for (const { answer } of [first, second]) answer(known());
  other.answer(null);
  const moments = (await Promise.all(answers)).map((value) => value?.authenticatedAt);
  assert.deepEqual(moments, [7, 7, undefined]);
  assert.equal(cache.peek('k', 1000)?.authenticatedAt, 7);
  assert.equal((await cache.ask('k', async () => known()))?.authenticatedAt, 1000, 'asked later');
});

test('the cache is bounded, and what falls out is forgotten entirely', async () => {
  const { cache } = open(10);
  for (let i = 0; i < 1000; i++) {
    await cache.ask(`k${i}`, async () => known({ family: `f${i % 100}` }));
  }
  const kept = Array.from({ length: 1000 }, (_, i) => `k${i}`).filter((key) => cache.peek(key, 1));
  assert.equal(kept.length, 10);
  const revoked = Array.from({ length: 100 }, (_, i) => cache.revoke(ended(`f${i}`))).flat();
  assert.deepEqual(revoked.toSorted(), kept.toSorted());
});
