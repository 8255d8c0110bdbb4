import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, afterEach, before, beforeEach } from 'node:test';
import { Client } from 'pg';
import { KeyRing } from '../../lib/keys.ts';
import type { Session } from '../../lib/session.ts';
import { DataCodec } from '../../lib/token.ts';
import { signIn as signInAt, HOUR, newSession, openNode } from '../support/nodes.ts';
import type { TestNode } from '../support/nodes.ts';
import { startPostgres } from '../support/postgres.ts';
import type { Postgres } from '../support/postgres.ts';
import { run } from '../unit/cli/run.ts';
import type { Outcome } from '../unit/cli/run.ts';

export const SECRET = randomBytes(32).toString('base64');
const REALM = 'session kong session_guard';

interface Context {
  after(end: () => Promise<void>): void;
}

/** A database for each test of a file, and the commands on it. */
export class Scene {
  #postgres: Postgres | undefined;
  #sql: Client | undefined;
  url = '';

  /** Registers the hooks. */
  constructor() {
    before(async () => {
      this.#postgres = await startPostgres();
    });
    after(() => this.#postgres?.stop());
    beforeEach(async () => {
      this.url = (await this.#postgres?.newDatabase()) ?? '';
      this.#sql = new Client({ connectionString: this.url });
      await this.#sql.connect();
    });
    afterEach(() => this.#sql?.end());
  }

  get env(): Record<string, string> {
    return { SESSION_GUARD_DATABASE_URL: this.url };
  }

  async rows<Row extends object>(text: string, values: unknown[] = []): Promise<Row[]> {
    assert.ok(this.#sql);
    return (await this.#sql.query<Row>(text, values)).rows;
  }

  run(argv: readonly string[], answers?: string): Promise<Outcome> {
    return run(argv, { env: this.env, ...(answers !== undefined && { answers }) });
  }

  /** What a command with `--json` prints. */
  async json(argv: readonly string[], code = 0): Promise<Record<string, unknown>> {
    const outcome = await this.run([...argv, '--json']);
    assert.equal(outcome.code, code, outcome.stderr);
    return JSON.parse(outcome.stdout) as Record<string, unknown>;
  }

  /** A node that uses the database until the test ends; it has made the tables. */
  async node(context: Context): Promise<TestNode> {
    const codec = new DataCodec(new KeyRing([SECRET], REALM, 0), Date.now);
    const node = openNode(this.url, { codec, cacheTtl: 3600_000 });
    context.after(() => node.close());
    await node.backend.readiness.ready();
    return node;
  }

  /** The handles in the table, dead ones included, the oldest sign-in first. */
  async handles(): Promise<string[]> {
    const rows = await this.rows<{ handle: string }>(
      'select handle from session_guard.sessions order by authenticated_at',
    );
    return rows.map(({ handle }) => handle);
  }

  async expire({ handle }: Session): Promise<void> {
    await this.rows('update session_guard.sessions set expires_at = now() where handle = $1', [
      handle,
    ]);
  }

  async cutOff({ consumerId }: Session): Promise<void> {
    await this.rows(
      `insert into session_guard.cutoffs values ('consumer', $1, now(), 'infinity')`,
      [consumerId],
    );
  }
}

export const signIn = (
  node: TestNode,
  fields: Parameters<typeof newSession>[0] = {},
): Promise<Session> => signInAt(node, newSession({ realm: REALM, ...fields }), HOUR);
