import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { Client } from 'pg';
import type { Decision } from '../../lib/guard.ts';
import type { Guard } from '../../lib/presence.ts';
import type { Session } from '../../lib/session.ts';
import { createTables, openNode, type TestNode, untilTrusted } from './nodes.ts';
import { type Postgres, startPostgres } from './postgres.ts';
import { alice, openGuard, signInAs, Visitor } from './visitor.ts';

interface Nodes {
  /** Asks the database every time. */
  readonly asking: TestNode;
  /** Relies on its cache, so that rows which another hand changes are news to it. */
  readonly trusting: TestNode;
}

/** Guards over a real database, and a hand that changes its rows. */
export class GuardScene {
  readonly url: string;
  readonly sql: Client;
  readonly nodes: Nodes;
  readonly #postgres: Postgres;

  private constructor(postgres: Postgres, url: string, sql: Client, nodes: Nodes) {
    this.#postgres = postgres;
    this.url = url;
    this.sql = sql;
    this.nodes = nodes;
  }

  static async open(): Promise<GuardScene> {
    const postgres = await startPostgres();
    const url = await postgres.newDatabase();
    await createTables(url);
    const sql = new Client({ connectionString: url });
    await sql.connect();
    const patient = { cacheTtl: 3600_000 };
    const nodes = { asking: openNode(url, { cacheTtl: 0 }), trusting: openNode(url, patient) };
    await untilTrusted(nodes.trusting);
    return new GuardScene(postgres, url, sql, nodes);
  }

  async close(): Promise<void> {
    for (const node of [this.nodes.asking, this.nodes.trusting]) await node.close();
    await this.sql.end();
    await this.#postgres.stop();
  }

  /** Sessions of 100 s, renewed after 75, with a grace of 10. */
  guard(fields: object = {}, node: TestNode = this.nodes.asking): Guard {
    const postgres = { url: this.url };
    const times = { rolling_timeout: 100, cookie_renew: 25, stale_ttl: 10 };
    return openGuard({ storage: 'kong', postgres, ...times, ...fields }, node.storage);
  }

  async signedIn(
    at: Guard,
    person = alice,
    visitor = new Visitor(),
  ): Promise<{ visitor: Visitor; session: Session }> {
    const decision = await visitor.visit(at, signInAs(person, randomUUID()));
    assert.ok(decision.kind === 'credential' && decision.session !== undefined);
    return { visitor, session: decision.session };
  }

  /** As if so many seconds had passed since its columns were written. */
  async age(handle: string, seconds: number, columns = COLUMNS): Promise<void> {
    await this.sql.query(
      `update session_guard.sessions set ${columns
        .map((column) => `${column} = ${column} - make_interval(secs => $2)`)
        .join(', ')} where handle = $1`,
      [handle, seconds],
    );
  }

  async remove(handle: string): Promise<void> {
    await this.sql.query('delete from session_guard.sessions where handle = $1', [handle]);
  }

  /** Of one family. */
  async rowsOf(family: string): Promise<{ generation: number; kind: number }[]> {
    const query =
      'select generation, kind from session_guard.sessions where family = $1 order by kind';
    return (await this.sql.query<{ generation: number; kind: number }>(query, [family])).rows;
  }

  settled(node = this.nodes.asking): Promise<void> {
    return node.backend.touches.flush();
  }
}

const COLUMNS = ['authenticated_at', 'started_at', 'renewed_at', 'seen_at'];

export const who = (decision: Decision): string =>
  decision.kind === 'session' ? (decision.consumer.username ?? '') : decision.kind;

export const cookiesOf = (decision: Decision): readonly string[] =>
  'cookies' in decision ? decision.cookies : [];
