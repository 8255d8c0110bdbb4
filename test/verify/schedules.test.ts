import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { Client } from 'pg';
import { openDatabase } from '../../lib/database.ts';
import type { Database } from '../../lib/database.ts';
import { migrate } from '../../lib/migrate.ts';
import { Store } from '../../lib/store.ts';
import type { StoredSession } from '../../lib/rows.ts';
import type { NewSession } from '../../lib/storage.ts';
import { HOUR, newSession } from '../support/nodes.ts';
import { startPostgres } from '../support/postgres.ts';
import type { Postgres } from '../support/postgres.ts';
import { assertHeld } from './held.ts';
import { ModelDatabase } from './schedules-database.ts';
import { Tables } from './schedules-tables.ts';
import { program } from './schedules.ts';

test('schedules of statements, answers and notices of two nodes', async () => {
  const figures = await program.run({ count: 300, seed: 20_261_122 });
  assertHeld(figures);
});

let postgres: Postgres;
let database: Database;
let client: Client;

before(async () => {
  postgres = await startPostgres();
  const url = await postgres.newDatabase();
  database = openDatabase({ url, connectTimeout: 10_000, statementTimeout: 10_000 });
  await migrate(database);
  client = new Client({ connectionString: url });
  await client.connect();
});

after(async () => {
  await client.end();
  await database.close();
  await postgres.stop();
});

type Operation =
  | { readonly name: 'create' | 'end' | 'end-all' | 'expire' | 'cut'; readonly who: number }
  | { readonly name: 'renew'; readonly who: number; readonly generation: number }
  | { readonly name: 'touch'; readonly who: number; readonly generation: number };

const who = fc.nat({ max: 2 });
const generation = fc.nat({ max: 2 });
const OPERATION: fc.Arbitrary<Operation> = fc.oneof(
  fc.record({ name: fc.constantFrom('create', 'create', 'end', 'end-all', 'expire', 'cut'), who }),
  fc.record({ name: fc.constant('renew' as const), who, generation }),
  fc.record({ name: fc.constant('touch' as const), who, generation }),
);

test('the modelled tables do what Postgres does', async () => {
  let compared = 0;
  const property = fc.asyncProperty(
    fc.array(OPERATION, { minLength: 3, maxLength: 12 }),
    async (operations) => {
      const pair = new Pair();
      await pair.perform({ name: 'create', who: 0 });
      for (const operation of operations) {
        await pair.perform(operation);
        compared += await pair.compare(JSON.stringify(operations));
      }
    },
  );
  await fc.assert(property, { numRuns: 60, seed: 20_261_122, endOnFailure: true });
  assert.ok(compared > 100, `${compared} living sessions were compared`);
});

/** The same statements on both: Postgres first, whose clock the model then follows. */
class Pair {
  readonly #tables = new Tables();
  readonly #real = new Store(database);
  readonly #model = new Store(new ModelDatabase('model', this.#tables, []));
  /** The latest session of each of three people. */
  readonly #sessions = new Map<number, NewSession>();
  readonly #people = Array.from({ length: 3 }, () => newSession().consumerId);

  async perform(operation: Operation): Promise<void> {
    await sleep(2); // moments are compared to the millisecond, Postgres has more of them
    const session = this.#sessions.get(operation.who);
    if (operation.name === 'create') return this.#create(operation.who);
    if (session === undefined) return;
    switch (operation.name) {
      case 'renew': {
        const renew = (store: Store) =>
          store.renew(session.key, operation.generation, Buffer.from('anew'), HOUR);
        const real = await renew(this.#real);
        this.#tables.now = real?.session.seenAt ?? (await this.#now());
        assert.deepEqual(plain(await renew(this.#model)), plain(real));
        return;
      }
      case 'touch': {
        const at = this.#tables.now;
        const confirmed = { generation: operation.generation, at };
        const touch = { key: session.key, seenAt: at, confirmed, lifetime: HOUR };
        for (const store of [this.#real, this.#model]) await store.touch([touch]);
        return;
      }
      case 'end':
        for (const store of [this.#real, this.#model]) await store.end([session.family]);
        return;
      case 'end-all': {
        const families = [...this.#sessions.values()].map(({ family }) => family);
        for (const store of [this.#real, this.#model]) await store.end(families);
        return;
      }
      case 'expire':
        return this.#expire(session);
      case 'cut': {
        const { consumerId } = session;
        this.#tables.now = await this.#real.cut('consumer', consumerId, Infinity);
        await this.#model.cut('consumer', consumerId, Infinity);
        for (const store of [this.#real, this.#model]) await store.removeConsumer(consumerId);
      }
    }
  }

  /** Compares what the people's sessions are now; resolves with how many are alive. */
  async compare(what: string): Promise<number> {
    this.#tables.now = await this.#now();
    let alive = 0;
    for (const { key } of this.#sessions.values()) {
      const real = await this.#real.load(key);
      assert.deepEqual(plain(await this.#model.load(key)), plain(real), what);
      alive += Number(real !== undefined);
    }
    return alive;
  }

  /** A sign-in that ends the person's session before it. */
  async #create(person: number): Promise<void> {
    const replaces = this.#sessions.get(person)?.family;
    const session = newSession({ consumerId: this.#people[person] ?? '' });
    this.#sessions.set(person, session);
    const rows = [{ session, sealed: Buffer.from('sealed'), lifetime: HOUR }];
    const create = (store: Store) => store.create(rows, replaces === undefined ? [] : [replaces]);
    const real = await create(this.#real);
    this.#tables.now = real.stored[0]?.session.authenticatedAt ?? NaN;
    const model = await create(this.#model);
    assert.deepEqual(model.stored.map(plain), real.stored.map(plain));
    assert.deepEqual(model.ended, real.ended);
  }

  async #expire({ key }: NewSession): Promise<void> {
    const bytes = Buffer.from(key, 'base64url');
    const sql =
      "update session_guard.sessions set expires_at = now() - interval '1 s' where key = $1";
    await client.query(sql, [bytes]);
    const row = this.#tables.rows.get(key);
    if (row) row.expires_at = this.#tables.now - 1000;
  }

  async #now(): Promise<number> {
    const sql = 'select floor(extract(epoch from clock_timestamp()) * 1000)::float8 as now';
    return (await client.query<{ now: number }>(sql)).rows[0]?.now ?? NaN;
  }
}

const plain = (stored: StoredSession | undefined) =>
  stored && { ...stored, sealed: Buffer.from(stored.sealed).toString() };
