import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, mock, test } from 'node:test';
import { openCutOffs, openServerStorage } from '../../lib/server-storage.ts';
import type { Session } from '../../lib/session.ts';
import { Blackhole } from '../support/blackhole.ts';
import {
  createTables,
  HOUR,
  newSession,
  openNode,
  plainCodec,
  signIn,
  statementsOf,
  until,
  untilTrusted,
  use,
} from '../support/nodes.ts';
import type { NodeOptions, TestNode } from '../support/nodes.ts';
import { startPostgres } from '../support/postgres.ts';
import type { Postgres } from '../support/postgres.ts';

/* Several nodes on one database: what each knows, and how soon it knows of the others' ends. */

let postgres: Postgres;
let url: string;
const nodes: TestNode[] = [];

before(async () => {
  postgres = await startPostgres();
});

beforeEach(async () => {
  url = await postgres.newDatabase();
  await createTables(url);
});

after(async () => {
  await postgres.stop();
});

afterEach(async () => {
  await Promise.all(nodes.splice(0).map((node) => node.close()));
});

/** A node that trusts its cache, for a minute: what it learns sooner it was told. */
async function start(options: NodeOptions = {}): Promise<TestNode> {
  const node = openNode(url, { cacheTtl: 60_000, ...options });
  nodes.push(node);
  await untilTrusted(node);
  return node;
}

test('a session is asked for once and then known', async () => {
  const [one, two] = [await start(), await start()];
  const session = await signIn(one, newSession(), HOUR);
  const statements = await statementsOf(async () => {
    assert.deepEqual(one.storage.peek(session), session, 'known where it was made');
    assert.equal(two.storage.peek(session), undefined);
    assert.deepEqual(await two.storage.load(session), session);
    for (let i = 0; i < 10; i++) assert.deepEqual(two.storage.peek(session), session);
  });
  assert.deepEqual(statements, ['load']);
});

test('absence is asked for once and then known', async () => {
  const node = await start();
  const unknown = newSession();
  const statements = await statementsOf(async () => {
    assert.equal(await node.storage.load(unknown), null);
    for (let i = 0; i < 10; i++) assert.equal(node.storage.peek(unknown), null);
  });
  assert.deepEqual(statements, ['load']);
});

test('configurations with one database share what is known, each for its own time', async () => {
  const node = await start();
  const options = { database: node.database, codec: plainCodec };
  const [same, hasty] = [
    openServerStorage(options),
    openServerStorage({ ...options, cacheTtl: 0 }),
  ];
  const session = await signIn(node, newSession(), HOUR);
  assert.deepEqual(same.peek(session), session);
  assert.equal(hasty.peek(session), undefined);
});

test('a logout counts on its own node when it resolves, and soon on the other', async () => {
  const [one, two] = [await start(), await start()];
  for (let round = 0; round < 20; round++) {
    const session = await signIn(one, newSession(), HOUR);
    const remembered = newSession({ family: session.family, kind: 'remember' });
    await signIn(one, remembered, HOUR);
    await two.storage.load(session);
    await two.storage.load(remembered);
    await one.storage.end(session);
    for (const member of [session, remembered]) {
      assert.equal(one.storage.peek(member), undefined);
      assert.equal(await one.storage.load(member), null);
      await until(() => !two.storage.peek(member));
      assert.equal(await two.storage.load(member), null);
    }
  }
});

test('a sign-in that replaces a session ends it on every node', async () => {
  const [one, two] = [await start(), await start()];
  const old = await signIn(one, newSession(), HOUR);
  await two.storage.load(old);
  await signIn(one, newSession(), HOUR, old);
  assert.equal(one.storage.peek(old), undefined);
  await until(() => !two.storage.peek(old));
});

test('the ends of a consumer, of a credential and of everything reach every node', async () => {
  const [one, two] = [await start(), await start()];
  const credentialId = 'credential';
  const make = () => signIn(one, newSession({ credentialId }), HOUR);
  for (const end of [
    ({ consumerId }: Session) => one.backend.endConsumer(consumerId),
    ({ consumerId }: Session) => one.backend.endCredential(consumerId, credentialId),
    () => one.backend.endAll(),
  ]) {
    const session = await make();
    assert.ok(await two.storage.load(session));
    await end(session);
    assert.equal(await one.storage.load(session), null);
    await until(() => !two.storage.peek(session));
    assert.equal(await two.storage.load(session), null);
    assert.ok(await two.storage.load(await make()), 'a later sign-in lives');
  }
});

/** A codec that holds every answer of the store back until the test lets it go. */
function held() {
  const waiting: (() => void)[] = [];
  let isHolding = false;
  const codec: NodeOptions['codec'] = {
    ...plainCodec,
    open: async (key, sealed) => {
      if (isHolding) await new Promise<void>((resolve) => waiting.push(resolve));
      return plainCodec.open(key, sealed);
    },
  };
  const hold = () => {
    isHolding = true;
  };
  const release = () => {
    isHolding = false;
    for (const go of waiting.splice(0)) go();
  };
  return { codec, waiting, hold, release };
}

for (const [name, work] of [
  ['load', (node: TestNode, session: Session) => node.storage.load(session)],
  ['renew', (node: TestNode, session: Session) => node.storage.renew(session, HOUR)],
] as const) {
  for (const where of ['the same node', 'another node']) {
    test(`an end on ${where} overtakes a ${name} that has its answer already`, async () => {
      const { codec, waiting, hold, release } = held();
      const [one, two] = [await start({ codec }), await start()];
      const session = await signIn(two, newSession(), HOUR);
      // Tells when the notice has arrived: another row of the same family.
      const witness = newSession({ family: session.family });
      await signIn(one, witness, HOUR);
      hold();
      const statements = await statementsOf(async () => {
        const answer = work(one, session);
        await until(() => waiting.length === 1);
        await (where === 'the same node' ? one : two).storage.end(session);
        await until(() => !one.storage.peek(witness));
        release();
        assert.equal(await answer, null);
      });
      assert.deepEqual(statements, [name, 'end', name], 'the store was asked again');
      assert.ok(!one.storage.peek(session));
    });
  }
}

test('a listener that went silent: the cache is not asked, then emptied', async (context) => {
  const proxy = await Blackhole.open(url);
  context.after(() => proxy.close());
  const deaf = await start({
    database: { listenUrl: proxy.through(url) },
    bus: { heartbeat: 500, heartbeatTimeout: 300, retry: [20, 100] },
  });
  const other = await start();
  const sessions = await Promise.all(
    Array.from({ length: 3 }, () => signIn(other, newSession(), HOUR)),
  );
  const [ended, missed, kept] = sessions as [Session, Session, Session];
  for (const session of sessions) assert.ok(await deaf.storage.load(session));
  proxy.swallow();
  await other.storage.end(ended);
  await other.storage.end(missed);
  await until(() => deaf.storage.peek(ended) === undefined);
  assert.equal(deaf.storage.peek(kept), undefined);
  assert.equal(await deaf.storage.load(ended), null);
  assert.deepEqual(await deaf.storage.load(kept), kept, 'the store still serves');
  proxy.heal();
  await untilTrusted(deaf);
  assert.equal(deaf.storage.peek(missed), undefined);
  assert.ok(!deaf.storage.peek(ended));
});

test('where LISTEN is impossible every request asks the store', async () => {
  const proxy = await Blackhole.open(url);
  const listenUrl = proxy.through(url);
  await proxy.close();
  const node = openNode(url, { database: { listenUrl } });
  nodes.push(node);
  const session = await signIn(node, newSession(), HOUR);
  await until(() => node.log.some(({ event }) => event === 'bus_lost'));
  for (let i = 0; i < 3; i++) {
    assert.equal(node.storage.peek(session), undefined);
    assert.deepEqual(await node.storage.load(session), session);
  }
  await node.storage.end(session);
  assert.equal(await node.storage.load(session), null);
});

test('a use shows on its node at once, a first presentation soon on every node', async () => {
  const [one, two] = [await start(), openNode(url, { cacheTtl: 0 })];
  nodes.push(two);
  const session = await signIn(one, newSession(), HOUR);
  assert.equal(use(one, session, 0, HOUR, 60_000), session);
  assert.notEqual(one.storage.peek(session)?.confirmedAt, undefined);
  await until(async () => (await two.storage.load(session))?.confirmedAt !== undefined);
  const seen = one.storage.peek(session);
  assert.deepEqual(seen, await two.storage.load(session), 'the cache was raised too');

  assert.ok(seen);
  await until(() => one.storage.now() > seen.seenAt + 5);
  use(one, seen, 0, HOUR, 60_000);
  assert.ok((one.storage.peek(session)?.seenAt ?? 0) > seen.seenAt);
  assert.ok(((await one.storage.load(session))?.seenAt ?? 0) > seen.seenAt, 'over what is stored');
  assert.equal((await two.storage.load(session))?.seenAt, seen.seenAt, 'not written yet');
  await one.close();
  assert.ok(((await two.storage.load(session))?.seenAt ?? 0) > seen.seenAt, 'written at the end');
});

test('nothing is written about a session that has ended', async () => {
  const node = await start();
  const session = await signIn(node, newSession(), HOUR);
  use(node, session, 0, HOUR, 0);
  await node.storage.end(session);
  assert.deepEqual(await statementsOf(() => node.backend.touches.flush()), []);
});

test('a renewal elsewhere is found out by asking', async () => {
  const [one, two] = [await start(), await start()];
  const session = await signIn(one, newSession(), HOUR);
  const renewed = await two.storage.renew(session, HOUR);
  assert.equal(one.storage.peek(session)?.generation, 0);
  assert.deepEqual(await one.storage.load(session), renewed);
  assert.equal(one.storage.peek(session)?.generation, 1);
});

test("the clock is the database's, whatever ours says", async (context) => {
  const node = await start();
  const offset = node.storage.now() - Date.now();
  assert.ok(Math.abs(offset) < 1000, 'one machine, one clock');
  mock.timers.enable({ apis: ['Date'], now: Date.now() + 3600_000 });
  context.after(() => mock.timers.reset());
  const session = await signIn(node, newSession(), HOUR);
  assert.ok(Math.abs(node.storage.now() - session.authenticatedAt) < 1000);
});

test('cut-offs of sessions in cookies: known here at once, elsewhere soon', async () => {
  const [one, two] = [await start(), await start()];
  const options = { cacheTtl: 60_000, realm: 'cut off', lifetimes: [HOUR] };
  const here = openCutOffs({ database: one.database, ...options });
  const there = openCutOffs({ database: two.database, ...options });
  const now = here.now();
  const session = { ...newSession(), authenticatedAt: now, startedAt: now } as Session;
  const other = { ...newSession(), authenticatedAt: now, startedAt: now } as Session;
  const statements = await statementsOf(async () => {
    for (const cutOffs of [here, there]) {
      for (const each of [session, other]) {
        assert.equal(cutOffs.peek(each), undefined);
        assert.equal(await cutOffs.load(each), -Infinity);
        assert.equal(cutOffs.peek(each), -Infinity);
      }
    }
  });
  assert.deepEqual(
    statements,
    Array.from({ length: 4 }, () => 'cutoffs'),
  );

  await here.add(session);
  assert.equal(here.peek(session), undefined);
  assert.equal(await here.load(session), Infinity);
  await until(() => there.peek(session) !== -Infinity);
  assert.equal(await there.load(session), Infinity);
  assert.equal(there.peek(other), -Infinity, 'others are left alone');

  await one.backend.endConsumer(other.consumerId);
  const moment = await here.load(other);
  assert.ok(moment >= other.authenticatedAt && moment <= here.now());
  await until(() => there.peek(other) !== -Infinity);
  assert.equal(await there.load(other), moment);
});
