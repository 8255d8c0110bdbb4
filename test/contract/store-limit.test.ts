import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import type { Session } from '../../lib/session.ts';
import type { Begun, NewSession } from '../../lib/storage.ts';
import {
  HOUR,
  newSession,
  REMEMBER_REALM,
  signIn,
  statementsOf,
  until,
  use,
} from '../support/nodes.ts';
import type { TestNode } from '../support/nodes.ts';
import type { Table } from '../support/table.ts';
import { openTwoNodes, type TwoNodes } from '../support/two-nodes.ts';

/* Sign-ins of a consumer that may have only so many sessions. */

type Policy = 'evict-oldest' | 'refuse';

let nodes: TwoNodes;
let node: TestNode;
let other: TestNode;
let table: Table;

before(async () => {
  nodes = await openTwoNodes(60_000);
  ({ node, other, table } = nodes);
});

after(() => nodes.close());

interface Options {
  readonly at?: TestNode;
  readonly remember?: boolean;
  readonly replaces?: readonly Session[];
  readonly idleFor?: number;
}

/** A sign-in of a consumer with at most this many sessions. */
function begin(
  fields: Partial<NewSession>,
  [sessions, policy]: readonly [number, Policy],
  { at = node, remember = false, replaces = [], idleFor = 0 }: Options = {},
): Promise<Begun | null> {
  const session = newSession(fields);
  const { consumerId, family, audience } = session;
  const persistent = {
    consumerId,
    family,
    audience,
    kind: 'remember',
    realm: REMEMBER_REALM,
  } as const;
  return at.storage.create({
    session,
    lifetime: HOUR,
    ...(remember && { remember: { session: newSession(persistent), lifetime: HOUR } }),
    replaces,
    limit: { sessions, policy, idleFor },
  });
}

/** A session that was presented and last seen so many minutes ago. */
async function presented(fields: Partial<NewSession>, minutes: number): Promise<Session> {
  const session = await signIn(node, newSession(fields), HOUR);
  await table.alter(
    session,
    `confirmed_at = now(), seen_at = now() - ${minutes} * interval '1 min'`,
  );
  return session;
}

const isAlive = async (session: Session) => (await table.column(session, 'true')) === true;
const alive = (sessions: readonly Session[]) => Promise.all(sessions.map(isAlive));

async function countOf(consumerId: string): Promise<number> {
  const { rows } = await table.sql.query('select from sessions where consumer_id = $1', [
    consumerId,
  ]);
  return rows.length;
}

test('the session that was away longest goes, and its remember row with it', async () => {
  const consumerId = randomUUID();
  const [b, c, a] = [
    await presented({ consumerId }, 20),
    await presented({ consumerId }, 10),
    await presented({ consumerId }, 30),
  ];
  const rest = newSession({
    consumerId,
    family: a.family,
    kind: 'remember',
    realm: REMEMBER_REALM,
  });
  const persistent = await signIn(node, rest, HOUR);
  await table.alter(persistent, `seen_at = now() - interval '40 min'`);
  const begun = await begin({ consumerId }, [3, 'evict-oldest']);
  assert.deepEqual(await alive([a, persistent, b, c]), [false, false, true, true]);
  assert.ok(begun && (await isAlive(begun.session)));
});

test('a session that was never presented goes before any that was', async () => {
  const consumerId = randomUUID();
  const old = await presented({ consumerId }, 50);
  const robots = [
    await signIn(node, newSession({ consumerId }), HOUR),
    await signIn(node, newSession({ consumerId }), HOUR),
  ];
  const renewed = await signIn(node, newSession({ consumerId }), HOUR);
  await node.storage.renew(renewed, HOUR);
  await table.alter(renewed, `seen_at = now() - interval '40 min'`);
  await begin({ consumerId }, [3, 'evict-oldest']);
  assert.deepEqual(await alive([old, renewed, ...robots]), [true, true, false, false]);
});

test('a limit that was lowered is reached with the next sign-in', async () => {
  const consumerId = randomUUID();
  const sessions: Session[] = [];
  for (let minutes = 10; minutes > 0; minutes--) {
    sessions.push(await presented({ consumerId }, minutes));
  }
  const begun = await begin({ consumerId }, [2, 'evict-oldest']);
  const lives = await alive(sessions);
  assert.deepEqual(lives, [...Array.from({ length: 9 }, () => false), true]);
  assert.ok(begun);
  assert.equal((await begin({ consumerId }, [1, 'evict-oldest']))?.session.generation, 0);
  assert.equal(await countOf(consumerId), 1, 'the newest');
});

test('only the same consumer, audience and realm count, and only what is alive', async () => {
  const consumerId = randomUUID();
  const elsewhere = [
    await presented({ consumerId: randomUUID() }, 50),
    await presented({ consumerId, audience: 'other' }, 50),
    await presented({ consumerId, realm: 'other kong session_guard' }, 50),
  ];
  const expired = await presented({ consumerId }, 60);
  await table.alter(expired, 'expires_at = now()');
  const kept = await presented({ consumerId }, 50);
  assert.ok(await begin({ consumerId }, [2, 'evict-oldest']));
  assert.deepEqual(await alive([...elsewhere, kept]), [true, true, true, true]);
  assert.ok(await begin({ consumerId }, [2, 'refuse']), 'one was never presented');
});

test('a family counts once, whatever is left of it', async () => {
  const consumerId = randomUUID();
  const first = await begin({ consumerId }, [2, 'evict-oldest'], { remember: true });
  assert.ok(first?.remember);
  use(node, first.session, 0, HOUR, 0);
  await node.backend.touches.flush();
  assert.ok(await begin({ consumerId }, [2, 'evict-oldest'], { remember: true }));
  assert.ok(await isAlive(first.session));
  // After a night there is only the persistent cookie: a sign-in all the same.
  await table.alter(first.session, 'expires_at = now()');
  assert.equal(await begin({ consumerId }, [1, 'refuse'], { remember: true }), null);
  assert.ok(await isAlive(first.remember));
});

test('sign-ins are refused while the sessions in use reach the limit', async () => {
  const consumerId = randomUUID();
  const [one, two] = [await presented({ consumerId }, 1), await presented({ consumerId }, 2)];
  assert.equal(await begin({ consumerId }, [2, 'refuse']), null);
  assert.equal(await countOf(consumerId), 2);
  await node.storage.end(one);
  const third = await begin({ consumerId }, [2, 'refuse']);
  assert.ok(third);
  // Nobody has presented that one yet: it gives way.
  assert.ok(await begin({ consumerId }, [2, 'refuse']));
  assert.deepEqual(await alive([two, third.session]), [true, false]);
});

test('who is idle keeps nobody out, and makes room before anybody else', async () => {
  const consumerId = randomUUID();
  const idle = await presented({ consumerId }, 20);
  const options = { idleFor: 15 * 60_000 };
  assert.equal(await begin({ consumerId }, [1, 'refuse'], { idleFor: 25 * 60_000 }), null);
  const first = await begin({ consumerId }, [1, 'refuse'], options);
  assert.ok(first);
  assert.equal(await isAlive(idle), false, 'a sign-in keeps to the limit');
  const away = await presented({ consumerId }, 20);
  await begin({ consumerId }, [2, 'evict-oldest'], options);
  assert.deepEqual(
    await alive([first.session, away]),
    [true, false],
    'nobody has come with it yet',
  );
});

test('a persistent cookie is never idle', async () => {
  const consumerId = randomUUID();
  const begun = await begin({ consumerId }, [1, 'refuse'], { remember: true });
  assert.ok(begun?.remember);
  use(node, begun.session, 0, HOUR, 0);
  await node.backend.touches.flush();
  for (const each of [begun.session, begun.remember]) {
    await table.alter(each, `seen_at = now() - interval '20 min'`);
  }
  const options = { remember: true, idleFor: 15 * 60_000 };
  assert.equal(await begin({ consumerId }, [1, 'refuse'], options), null);
});

test('what a sign-in replaces does not count, and ends even if it is refused', async () => {
  const consumerId = randomUUID();
  const mine = await presented({ consumerId }, 1);
  assert.ok(await begin({ consumerId }, [1, 'refuse'], { replaces: [mine] }));
  assert.equal(await isAlive(mine), false);

  const stranger = await signIn(node, newSession(), HOUR);
  const another = await signIn(node, newSession(), HOUR);
  for (const session of [stranger, another]) await other.storage.load(session);
  const full = randomUUID();
  await presented({ consumerId: full }, 1);
  const replaces = [stranger, another];
  assert.equal(await begin({ consumerId: full }, [1, 'refuse'], { replaces }), null);
  assert.deepEqual(await alive(replaces), [false, false]);
  for (const session of replaces) {
    assert.ok(!node.storage.peek(session), 'at once on this node');
    await until(() => !other.storage.peek(session));
  }
});

test('several families end with a sign-in, in its one statement', async () => {
  const replaces = [await signIn(node, newSession(), HOUR), await signIn(node, newSession(), HOUR)];
  for (const session of replaces) await other.storage.load(session);
  const session = newSession();
  const statements = await statementsOf(() =>
    node.storage.create({ session, lifetime: HOUR, replaces, limit: undefined }),
  );
  assert.deepEqual(statements, ['create_replacing']);
  assert.deepEqual(await alive(replaces), [false, false]);
  for (const old of replaces) {
    assert.ok(!node.storage.peek(old), 'at once on this node');
    await until(() => !other.storage.peek(old));
  }
});

test('an evicted session is out at once on this node and soon on the others', async () => {
  const consumerId = randomUUID();
  const evicted = await presented({ consumerId }, 5);
  assert.ok(node.storage.peek(evicted));
  assert.ok(await other.storage.load(evicted));
  const begun = await begin({ consumerId }, [1, 'evict-oldest']);
  assert.ok(!node.storage.peek(evicted));
  await until(() => !other.storage.peek(evicted));
  assert.equal(await node.storage.load(evicted), null);
  assert.deepEqual(begun && node.storage.peek(begun.session), begun?.session, 'known here');
});

for (const policy of ['evict-oldest', 'refuse'] as const) {
  test(`30 sign-ins at once on two nodes leave no more than 3 (${policy})`, async () => {
    const consumerId = randomUUID();
    await presented({ consumerId }, 1);
    for (let round = 0; round < 3; round++) {
      const sessions = await Promise.all(
        Array.from({ length: 10 }, (_, i) =>
          begin({ consumerId }, [3, policy], { at: i % 2 ? node : other, remember: i % 3 === 0 }),
        ),
      );
      assert.ok(sessions.every((begun) => begun !== null));
      const { rows } = await table.sql.query(
        'select distinct family from sessions where consumer_id = $1',
        [consumerId],
      );
      assert.equal(rows.length, 3);
    }
  });
}

test('a sign-in under a limit that fails leaves everything as it was', async () => {
  const consumerId = randomUUID();
  const kept = await presented({ consumerId }, 5);
  const replaced = await signIn(node, newSession(), HOUR);
  const { key } = await signIn(node, newSession(), HOUR);
  const failing = begin({ consumerId, key }, [1, 'evict-oldest'], { replaces: [replaced] });
  await assert.rejects(failing, { code: 'ERR_STORE_UNAVAILABLE' });
  assert.deepEqual(await alive([kept, replaced]), [true, true]);
  assert.ok(await begin({ consumerId }, [2, 'evict-oldest']), 'the lock is free');
});

test('names that only look alike are different consumers to the lock and to the count', async () => {
  const consumerId = `a\0b"\\${randomUUID()}`;
  await presented({ consumerId, audience: `'; drop table sessions; --` }, 1);
  const fields = { consumerId, audience: `'; drop table sessions; --` };
  assert.equal(await begin(fields, [1, 'refuse']), null);
  assert.ok(await begin({ consumerId }, [1, 'refuse']));
});
