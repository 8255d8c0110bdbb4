import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { Consumers } from '../../lib/consumers.ts';
import type { Consumer } from '../../lib/consumers.ts';

const TTL = 30_000;
const alice = { id: 'alice', username: 'alice' };
const none = () => Promise.resolve(undefined);

/** Kong's answers, one for each question about an id; the last one stays. */
function kong(answers: Record<string, (Consumer | undefined)[]>) {
  const asked: string[] = [];
  const lookUp = (id: string) => {
    asked.push(id);
    const left = answers[id] ?? [];
    return Promise.resolve(left.length > 1 ? left.shift() : left[0]);
  };
  return { asked, lookUp };
}

const anonymous = { id: 'anonymous' };
const control = () => Promise.resolve('anonymous');

test('a consumer is asked for once, and again after the ttl', async () => {
  const consumers = new Consumers();
  const { asked, lookUp } = kong({ alice: [alice] });
  const question = { now: 0, ttl: TTL, lookUp, control: none };
  assert.equal(consumers.peek('alice', TTL, 0), undefined);
  const answers = await Promise.all([1, 2, 3].map(() => consumers.check(alice, question)));
  assert.deepEqual(answers, [alice, alice, alice]);
  assert.deepEqual(asked, ['alice']);
  assert.equal(consumers.peek('alice', TTL, TTL), alice);
  assert.equal(consumers.peek('alice', TTL, TTL + 1), undefined);
});

test('gone is only whom Kong does not find twice while it finds somebody else', async () => {
  const { asked, lookUp } = kong({ anonymous: [anonymous] });
  const question = { now: 0, ttl: TTL, lookUp, control };
  assert.equal(await new Consumers().check(alice, question), 'gone');
  assert.deepEqual(asked, ['alice', 'anonymous', 'alice']);
});

test('a look-up that fails once ends nothing', async () => {
  const { lookUp } = kong({ alice: [undefined, alice], anonymous: [anonymous] });
  const question = { now: 0, ttl: TTL, lookUp, control };
  assert.deepEqual(await new Consumers().check(alice, question), alice);
});

test('while Kong answers nothing the last word holds, and is asked for soon again', async () => {
  const consumers = new Consumers();
  const { lookUp } = kong({});
  assert.deepEqual(await consumers.check(alice, { now: 0, ttl: TTL, lookUp, control }), alice);
  assert.deepEqual(consumers.peek('alice', TTL, 5000), alice);
  assert.equal(consumers.peek('alice', TTL, 5001), undefined);
});

test('without an anonymous consumer another one that was found lately is the control', async () => {
  const consumers = new Consumers();
  const bob = { id: 'bob' };
  const before = kong({ alice: [alice], bob: [bob] });
  const ask = (consumer: Consumer, lookUp: typeof before.lookUp) =>
    consumers.check(consumer, { now: 0, ttl: TTL, lookUp, control: none });
  await ask(bob, before.lookUp);
  await ask(alice, before.lookUp);
  assert.equal(await ask(alice, kong({ bob: [bob] }).lookUp), 'gone');
});

test('a question that Kong never answers is not waited for by others for ever', async () => {
  const consumers = new Consumers();
  const lost = { now: 0, ttl: TTL, lookUp: () => new Promise<never>(() => {}), control };
  void consumers.check(alice, lost);
  const { lookUp } = kong({ alice: [alice] });
  const later = consumers.check(alice, { now: 2000, ttl: TTL, lookUp, control });
  assert.deepEqual(await Promise.race([later, setTimeout(1000, 'never')]), alice);
});

test('who waits for the answer to another one asks too when it does not come', async () => {
  const consumers = new Consumers();
  const lost = { now: 0, ttl: TTL, lookUp: () => new Promise<never>(() => {}), control };
  void consumers.check(alice, lost);
  const { lookUp } = kong({ alice: [alice] });
  const waiting = consumers.check(alice, { now: 1900, ttl: TTL, lookUp, control });
  assert.deepEqual(await Promise.race([waiting, setTimeout(2000, 'never')]), alice);
});
