import { randomUUID } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { Client } from 'pg';
import { openBackend } from '../../lib/backend.ts';
import type { Backend } from '../../lib/backend.ts';
import { Database } from '../../lib/database.ts';
import { settingsOf } from '../../lib/database-settings.ts';
import { encodeNotice } from '../../lib/notice.ts';
import type { Guard } from '../../lib/presence.ts';
import { openServerStorage } from '../../lib/server-storage.ts';
import { plainCodec, until } from '../support/nodes.ts';
import { openGuard } from '../support/visitor.ts';
import { LIMITS } from './model-sessions.ts';

const FIELDS = {
  storage: 'kong',
  postgres: { url: 'postgres://model' },
  idling_timeout: LIMITS.idling / 1000,
  rolling_timeout: LIMITS.rolling / 1000,
  absolute_timeout: LIMITS.absolute / 1000,
  cookie_renew: LIMITS.renew / 1000,
  stale_ttl: LIMITS.stale / 1000,
};
const SCHEMA = 'session_guard';
/** As by default. Milliseconds. */
const CACHE_TTL = 5000;
/** What a busy machine may need for that which is only waited for. Milliseconds. */
const PATIENCE = 60_000;

/** Found before Postgres' own functions: the plugin's statements take their time from a table. */
const CLOCK = `
  create schema clock;
  create table clock.moment (at timestamptz not null);
  insert into clock.moment values (now());
  create function clock.now() returns timestamptz language sql stable as 'select at from clock.moment';
  create function clock.clock_timestamp() returns timestamptz language sql stable as 'select at from clock.moment'`;

class ClockedDatabase extends Database {
  readonly #now: () => number;

  constructor(url: string, now: () => number) {
    const patience = { connectTimeout: PATIENCE, statementTimeout: PATIENCE };
    super(settingsOf({ url, poolSize: 3, ...patience }), () => {});
    this.#now = now;
  }

  override now(): number {
    return this.#now();
  }
}

/** A node of the cluster with one route. */
interface Node {
  readonly backend: Backend;
  readonly guard: Guard;
}

/** Two nodes over a real Postgres, all of which live by a clock that stands still until somebody moves it. */
export class World {
  readonly nodes: Node[] = [];
  readonly #url: string;
  readonly #client: Client;
  #now: number;
  /** How long the oldest thing in a cache may have been there. */
  #cacheAge = 0;

  private constructor(url: string, client: Client, now: number) {
    this.#url = url;
    this.#client = client;
    this.#now = now;
  }

  /** `url`: an empty database. */
  static async open(url: string): Promise<World> {
    const client = new Client({ connectionString: url });
    await client.connect();
    await client.query(CLOCK);
    const own = new URL(url);
    own.searchParams.set('options', '-c search_path=clock,pg_catalog');
    const world = new World(own.href, client, Date.now());
    await world.pass(0);
    for (let index = 0; index < 2; index++) world.nodes.push(await world.#start());
    return world;
  }

  /** Milliseconds since the epoch. */
  get now(): number {
    return this.#now;
  }

  node(index: number): Node {
    const node = this.nodes[index];
    if (node === undefined) throw new TypeError(`there is no node ${index}`);
    return node;
  }

  /** Time passes for everybody; what the nodes do by and by is done. */
  async pass(milliseconds: number): Promise<void> {
    for (const { backend } of this.nodes) await backend.touches.flush();
    await this.tick(milliseconds);
    this.#cacheAge += milliseconds;
    if (this.#cacheAge < CACHE_TTL) return;
    this.#cacheAge = 0;
    for (const { backend } of this.nodes) backend.sessions.clear();
  }

  /** Less time than anything depends on. */
  async tick(milliseconds = 1): Promise<void> {
    this.#now += milliseconds;
    await this.#client.query('update clock.moment set at = to_timestamp($1::float8 / 1000)', [
      this.#now,
    ]);
  }

  /** An orderly stop, and a new process in its place. */
  async restart(index: number): Promise<void> {
    await this.node(index).backend.close();
    this.nodes[index] = await this.#start();
  }

  /** Resolves when every node has heard what any of them has told: notices come in the order of the commits. */
  async heard(): Promise<void> {
    const family = randomUUID();
    const mark = { family, consumerId: '', credentialId: undefined, authenticatedAt: 0 };
    for (const { backend } of this.nodes) {
      await backend.cutOffs.ask(family, async () => ({ ...mark, endedBefore: 0 }));
    }
    const notice = encodeNotice({ kind: 'family', target: family, before: Infinity });
    await this.#client.query('select pg_notify($1, $2)', [SCHEMA, notice]);
    const end = performance.now() + PATIENCE;
    for (const { backend } of this.nodes) {
      while (backend.cutOffs.peek(family, PATIENCE) !== undefined) {
        if (performance.now() > end) throw new Error('a notice did not arrive');
        await setImmediate();
      }
    }
  }

  /** Nothing is left of earlier sessions. */
  async clear(): Promise<void> {
    await this.pass(CACHE_TTL);
    await this.#client.query(`delete from ${SCHEMA}.sessions`);
    await this.#client.query(`delete from ${SCHEMA}.cutoffs`);
  }

  async close(): Promise<void> {
    for (const { backend } of this.nodes) await backend.close();
    await this.#client.end();
  }

  async #start(): Promise<Node> {
    const database = new ClockedDatabase(this.#url, () => this.#now);
    const storage = openServerStorage({
      database,
      codec: plainCodec,
      cacheTtl: CACHE_TTL,
      bus: { heartbeat: 20_000, heartbeatTimeout: PATIENCE },
      pruneInterval: 3600_000,
      neighbours: () => [],
    });
    const backend = openBackend(database);
    backend.touches.stop(); // written when time passes
    await until(
      () =>
        backend.readiness.ready().then(
          () => true,
          () => false,
        ),
      PATIENCE,
    );
    await until(() => backend.bus.isHealthy, PATIENCE);
    return { backend, guard: openGuard(FIELDS, storage) };
  }
}
