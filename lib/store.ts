import type { SessionLimit } from './config.ts';
import type { Answer, Database, Statement } from './database.ts';
import { SessionError } from './errors.ts';
import { encodeNotice } from './notice.ts';
import type { Revocable, Revocation } from './notice.ts';
import { bytesOf, columnsOf, encodeOptional, encodeText, ownerValues, sessionOf } from './rows.ts';
import type { NewRow, Owner, SessionRow, StoredSession } from './rows.ts';
import { BATCH, SQL } from './statements.ts';
import type { Lifetime } from './storage.ts';

/** What became of a sign-in. */
export interface Created {
  /** One for each new row, or none if the limit refuses them. */
  readonly stored: readonly StoredSession[];
  /** The families that ended with it. */
  readonly ended: readonly string[];
}

/** The answer of a statement that ends families: those it ended, and those that have to end once more. */
interface Told {
  ended: string[];
  again: string[];
}

/** What a use of a session leaves to be written. Moments in milliseconds on the database's clock. */
export interface Touch {
  readonly key: string;
  readonly seenAt: number;
  /** The generation that was first presented at `confirmedAt`, if one was. */
  readonly confirmed: { readonly generation: number; readonly at: number } | undefined;
  readonly lifetime: Lifetime;
}

/** Milliseconds for each statement of a sign-in under a limit: three of them have to fit into a request. */
const LIMITED_TIMEOUT = 1000;
/** How often a session is restored that somebody else's row is in the way of. */
const ATTEMPTS = 3;
/** What a notice about a family begins with. */
const NOTICE = encodeNotice({ kind: 'family', target: '', before: Infinity });

/** The tables' operations, one statement each. Every method rejects as Database.query does. */
export class Store {
  readonly #database: Database;
  readonly #statements: Readonly<Record<keyof typeof SQL, Statement>>;

  constructor(database: Database) {
    this.#database = database;
    this.#statements = Object.fromEntries(
      Object.entries(SQL).map(([name, sql]) => {
        return [name, { name, text: sql.replaceAll(':SCHEMA', `"${database.schema}"`) }];
      }),
    ) as Record<keyof typeof SQL, Statement>;
  }

  async load(key: string, onSent?: () => void): Promise<StoredSession | undefined> {
    return this.#session(await this.#ask('load', [bytesOf(key)], onSent));
  }

  /**
   * Stores the rows of a sign-in of one consumer and ends the families it replaces. With a limit also those that are
   * too many, unless it refuses the sign-in.
   */
  async create(
    rows: readonly NewRow[],
    replaces: readonly string[],
    limit?: SessionLimit,
  ): Promise<Created> {
    const answer = await this.#create(rows, replaces, limit);
    const created = answer.rows.filter(isSession);
    this.#sampleClock({ ...answer, rows: created });
    return { stored: created.map(sessionOf), ended: await this.#endAgain(answer.rows[0]) };
  }

  /** `isRaised`: by this statement, not by an earlier one. */
  async renew(
    key: string,
    generation: number,
    sealed: Uint8Array,
    { rolling, absolute }: Lifetime,
  ): Promise<(StoredSession & { isRaised: boolean }) | undefined> {
    const values = [bytesOf(key), generation, rolling, absolute, sealed];
    const answer = await this.#ask<SessionRow & { raised: boolean }>('renew', values);
    const stored = this.#session(answer);
    return stored && { ...stored, isRaised: answer.rows[0]?.raised === true };
  }

  /**
   * Stores a session of the family of a remember row, whose identity and sign-in it gets. If the key has a living row
   * it is returned as it is. `undefined` = the remember row is gone.
   */
  async restore(
    remember: string,
    { session, sealed, lifetime }: NewRow,
  ): Promise<StoredSession | undefined> {
    const values = [
      bytesOf(remember),
      bytesOf(session.key),
      session.handle,
      encodeText(session.audience),
      encodeText(session.realm),
      encodeOptional(session.subject),
      sealed,
      lifetime.rolling,
      lifetime.absolute,
    ];
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const answer = await this.#ask<SessionRow | NoRow>('restore', values);
      const found = answer.rows.filter(isSession);
      if (found.length > 0) return this.#session({ ...answer, rows: found });
      if (answer.rows.length === 0) return undefined;
    }
    throw new SessionError('ERR_STORE_UNAVAILABLE', 'somebody else is at work on the session');
  }

  /** Ends families and tells every node. */
  async end(families: readonly string[]): Promise<void> {
    const [family] = families;
    if (families.length === 1) await this.#end('end', family);
    else await this.#end('end_several', families);
  }

  /** Ends the family of a session if it is the owner's, and resolves with it. */
  endHandle(handle: string, owner: Owner): Promise<string[]> {
    return this.#end('end_handle', handle, ownerValues(owner));
  }

  /** Ends the owner's families but one, a batch at a time. Resolves with those that ended. */
  async endOthers(owner: Owner, exceptFamily: string | undefined): Promise<string[]> {
    const families: string[] = [];
    for (let size = BATCH; size === BATCH;) {
      const ended = await this.#end('end_others', exceptFamily ?? null, ownerValues(owner));
      families.push(...ended);
      size = ended.length;
    }
    return families;
  }

  async touch(touches: readonly Touch[]): Promise<void> {
    await this.#ask('touch', [
      touches.map(({ key }) => bytesOf(key)),
      touches.map(({ seenAt }) => seenAt),
      touches.map(({ confirmed }) => confirmed?.generation ?? null),
      touches.map(({ confirmed }) => confirmed?.at ?? null),
      touches.map(({ lifetime }) => lifetime.rolling),
      touches.map(({ lifetime }) => lifetime.absolute),
    ]);
  }

  /**
   * Ends what was authenticated at `before` or earlier (default and latest: now) and tells every node. `until`: when
   * nothing it could end lives any more. Resolves with the moment that counts.
   */
  async cut(
    kind: Revocation['kind'],
    target: string,
    until: number,
    before?: number,
  ): Promise<number> {
    const values = [kind, encodeText(target), before ?? null, until, this.#database.schema];
    const { rows } = await this.#ask<{ ended_before: number }>('cut', values);
    return rows[0]?.ended_before ?? Infinity;
  }

  /** Deletes what `cut` has ended, a batch at a time: tidiness, since a cut-off counts without it. */
  async removeConsumer(consumerId: string): Promise<void> {
    await this.#removeAll('remove_consumer', () => [encodeText(consumerId)]);
  }

  async removeCredential(consumerId: string, credentialId: string): Promise<void> {
    const values = [encodeText(consumerId), encodeText(credentialId)];
    await this.#removeAll('remove_credential', () => values);
  }

  async removeEverything(): Promise<void> {
    await this.#removeAll('remove_all', (last) => [last]);
  }

  /**
   * The moment (milliseconds) at which or before which the session must have been authenticated to be dead; -Infinity
   * if nothing is cut off.
   */
  async endedBefore(session: Revocable, onSent: () => void): Promise<number> {
    const { family, consumerId, credentialId = '', user = consumerId } = session;
    const values = [family, ...[consumerId, credentialId, user].map(encodeText)];
    const answer = await this.#ask<{ ended_before: number | null; now: number }>(
      'cutoffs',
      values,
      onSent,
    );
    this.#sampleClock(answer);
    return answer.rows[0]?.ended_before ?? -Infinity;
  }

  /** One row for each of the owner's sign-ins that are not idle, the last used first, at most 200. */
  async list(owner: Owner, idleFor: number): Promise<StoredSession[]> {
    const { rows } = await this.#ask<SessionRow>('list', [...ownerValues(owner), idleFor]);
    return rows.map(sessionOf);
  }

  /** How many sign-ins are alive, of one consumer or of all. */
  async count(consumerId?: string): Promise<number> {
    type Count = { sessions: number };
    const { rows } =
      consumerId === undefined
        ? await this.#ask<Count>('count_all', [])
        : await this.#ask<Count>('count_consumer', [encodeText(consumerId)]);
    return rows[0]?.sessions ?? 0;
  }

  /** Deletes up to `limit` expired sessions and as many cut-offs that are past, unless another node is at it. */
  async prune(limit: number): Promise<{ sessions: number; cutoffs: number }> {
    const values = [`prune ${this.#database.schema}`, limit];
    const { rows } = await this.#ask<{ sessions: number; cutoffs: number }>('prune', values);
    return rows[0] ?? { sessions: 0, cutoffs: 0 };
  }

  #ask<R extends object>(
    name: keyof typeof SQL,
    values: readonly unknown[],
    onSent?: () => void,
  ): Promise<Answer<R>> {
    return this.#database.query<R>(this.#statements[name], values, onSent);
  }

  #create(
    rows: readonly NewRow[],
    replaces: readonly string[],
    limit: SessionLimit | undefined,
  ): Promise<Answer<CreatedRow>> {
    const columns = columnsOf(rows);
    if (!limit && replaces.length === 0) return this.#ask('create', columns);
    const values = [...columns, replaces, this.#database.schema, NOTICE];
    if (!limit) return this.#ask('create_replacing', values);
    return this.#createLimited(rows, values, limit);
  }

  /** A sign-in under a limit. The statement sees what was stored while the transaction waited for the lock. */
  async #createLimited(
    rows: readonly NewRow[],
    values: readonly unknown[],
    { sessions, policy, idleFor }: SessionLimit,
  ): Promise<Answer<CreatedRow>> {
    const { consumerId, audience, realm } = rows[0]?.session ?? {};
    const name = JSON.stringify(['limit', this.#database.schema, realm, audience, consumerId]);
    const all = [...values, sessions, policy === 'refuse', idleFor];
    return this.#database.transaction(name, LIMITED_TIMEOUT, async (run) => {
      const sentAt = Date.now();
      const created = await run<CreatedRow>(this.#statements.create_limited, all);
      return { rows: created, sentAt, receivedAt: Date.now() };
    });
  }

  async #end(
    name: 'end' | 'end_several' | 'end_handle' | 'end_others',
    which: unknown,
    owner: readonly unknown[] = [],
  ): Promise<string[]> {
    const { rows } = await this.#ask<Told>(name, [which, this.#database.schema, NOTICE, ...owner]);
    return this.#endAgain(rows[0]);
  }

  /**
   * Who restores a session holds the family's remember row until the new row is stored. A statement that waited for
   * it to end the family does not see the new row, since its snapshot is older; one that begins now does, and nobody
   * can add another. Resolves with the families that ended.
   */
  async #endAgain({ ended, again }: Told = { ended: [], again: [] }): Promise<string[]> {
    if (again.length > 0) await this.end(again);
    return ended;
  }

  /** Until nothing is left: of what was stored while a deletion waited for its remember row too (#endAgain). */
  async #removeAll(name: keyof typeof SQL, values: (last: Buffer) => unknown[]): Promise<void> {
    for (let total = 1; total > 0;) {
      total = 0;
      for (let last: Buffer = Buffer.alloc(0), size = BATCH; size === BATCH;) {
        const { rows } = await this.#ask<{ key: Buffer }>(name, values(last));
        size = rows.length;
        total += size;
        last = rows.reduce((max, { key }) => (Buffer.compare(key, max) > 0 ? key : max), last);
      }
    }
  }

  #session(answer: Answer<SessionRow>): StoredSession | undefined {
    this.#sampleClock(answer);
    const row = answer.rows[0];
    return row && sessionOf(row);
  }

  #sampleClock({ rows, sentAt, receivedAt }: Answer<{ now: number }>): void {
    if (rows[0]) this.#database.clock.sample(sentAt, receivedAt, rows[0].now);
  }
}

type NoRow = { readonly key: null };
type CreatedRow = Told & (SessionRow | NoRow);

const isSession = <R extends { key: Buffer | null }>(row: R): row is R & SessionRow =>
  row.key !== null;
