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
  let now = 0;
  const consumers = new Consumers(() => now);
  const { asked, lookUp } = kong({ alice: [alice] });
  const question = { ttl: TTL, lookUp, control: none };
  assert.equal(consumers.peek('alice', TTL), undefined);
  const answers = await Promise.all([1, 2, 3].map(() => consumers.check(alice, question)));
  assert.deepEqual(answers, [alice, alice, alice]);
  assert.deepEqual(asked, ['alice']);
  now = TTL;
  assert.equal(consumers.peek('alice', TTL), alice);
  now = TTL + 1;
  assert.equal(consumers.peek('alice', TTL), undefined);
});

test('the age of what is known does not depend on the clock on the wall', async (context) => {
  context.mock.timers.enable({ apis: ['Date'], now: 3600_000 });
  const consumers = new Consumers();
  const { lookUp } = kong({ alice: [alice] });
  await consumers.check(alice, { ttl: TTL, lookUp, control: none });
  context.mock.timers.setTime(0);
  const until = performance.now() + 20;
  while (performance.now() < until) await setTimeout(5);
  assert.equal(consumers.peek('alice', 10), undefined);
});

test('gone is only whom Kong does not find twice while it finds somebody else', async () => {
  const { asked, lookUp } = kong({ anonymous: [anonymous] });
  const question = { ttl: TTL, lookUp, control };
  assert.equal(await new Consumers().check(alice, question), 'gone');
  assert.deepEqual(asked, ['alice', 'anonymous', 'alice']);
});

test('a look-up that fails once ends nothing', async () => {
  const { lookUp } = kong({ alice: [undefined, alice], anonymous: [anonymous] });
  const question = { ttl: TTL, lookUp, control };
  assert.deepEqual(await new Consumers().check(alice, question), alice);
});

test('while Kong answers nothing the last word holds, and is asked for soon again', async () => {
  let now = 0;
  const consumers = new Consumers(() => now);
  const { lookUp } = kong({});
  assert.deepEqual(await consumers.check(alice, { ttl: TTL, lookUp, control }), alice);
  now = 5000;
  assert.deepEqual(consumers.peek('alice', TTL), alice);
  now = 5001;
  assert.equal(consumers.peek('alice', TTL), undefined);
});

test('without an anonymous consumer another one that was found lately is the control', async () => {
  const consumers = new Consumers();
  const bob = { id: 'bob' };
  const before = kong({ alice: [alice], bob: [bob] });
  const ask = (consumer: Consumer, lookUp: typeof before.lookUp) =>
    consumers.check(consumer, { ttl: TTL, lookUp, control: none });
  await ask(bob, before.lookUp);
  await ask(alice, before.lookUp);
  assert.equal(await ask(alice, kong({ bob: [bob] }).lookUp), 'gone');
});

test('a question that Kong never answers is not waited for by others for ever', async () => {
  let now = 0;
  const consumers = new Consumers(() => now);
  const lost = { ttl: TTL, lookUp: () => new Promise<never>(() => {}), control };
  void consumers.check(alice, lost);
  const { lookUp } = kong({ alice: [alice] });
  now = 2000;
  const later = consumers.check(alice, { ttl: TTL, lookUp, control });
  assert.deepEqual(await Promise.race([later, setTimeout(1000, 'never')]), alice);
});

test('who waits for the answer to another one asks too when it does not come', async () => {
  let now = 0;
  const consumers = new Consumers(() => now);
  const lost = { ttl: TTL, lookUp: () => new Promise<never>(() => {}), control };
  void consumers.check(alice, lost);
  const { lookUp } = kong({ alice: [alice] });
  now = 1900;
  const waiting = consumers.check(alice, { ttl: TTL, lookUp, control });
  assert.deepEqual(await Promise.race([waiting, setTimeout(2000, 'never')]), alice);
});
