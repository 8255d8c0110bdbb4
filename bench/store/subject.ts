import { randomInt, randomUUID } from 'node:crypto';
import type { NewRow } from '../../lib/rows.ts';
import type { Touch } from '../../lib/store.ts';
import { add, fill, keyOfRow, sealSpecimen } from './rows.ts';
import type { Bench } from './server.ts';

/** Sessions that are in use at the same time, whatever the size of the table. */
export const WORKING_SET = 10_000;
const LIFETIME = { rolling: 3600_000, absolute: 86_400_000 };

/** One table of a size, and what has to be remembered of it while it is measured. */
export class Subject {
  readonly rows: number;
  readonly bench: Bench;
  readonly #sealed: Uint8Array;
  readonly #warm: readonly number[];
  readonly #generations = new Map<number, number>();
  readonly #families: string[] = [];
  #next: number;

  private constructor(rows: number, bench: Bench, sealed: Uint8Array) {
    this.rows = rows;
    this.bench = bench;
    this.#sealed = sealed;
    this.#next = rows + 1;
    this.#warm = Array.from({ length: Math.min(WORKING_SET, rows) }, () => this.cold());
  }

  static async fill(rows: number, bench: Bench): Promise<Subject> {
    await fill(bench.sql, rows);
    return new Subject(rows, bench, await sealSpecimen(keyOfRow(1)));
  }

  /** Brings the working set into the server's cache. */
  async warmUp(): Promise<void> {
    for (const row of this.#warm) await this.lookUp(row);
  }

  /** A row of the working set. */
  warm(): number {
    return this.#warm[randomInt(this.#warm.length)] ?? 1;
  }

  /** Any row of the table. */
  cold(): number {
    return 1 + randomInt(this.rows);
  }

  async lookUp(row: number): Promise<void> {
    const found = await this.bench.store.load(keyOfRow(row));
    if (found === undefined) throw new Error(`row ${row} is gone`);
  }

  async renew(row: number): Promise<void> {
    const generation = this.#generations.get(row) ?? 0;
    const renewed = await this.bench.store.renew(keyOfRow(row), generation, this.#sealed, LIFETIME);
    if (renewed?.session.generation !== generation + 1)
      throw new Error(`row ${row} is not renewed`);
    this.#generations.set(row, generation + 1);
  }

  async logIn(): Promise<void> {
    const row = this.#newRow(this.#next++);
    await this.bench.store.create([row], []);
    this.#families.push(row.session.family);
  }

  /** Ends one of the sessions that `logIn` began. */
  async logOut(): Promise<void> {
    const family = this.#families.shift();
    if (family === undefined) throw new Error('nobody is signed in');
    await this.bench.store.end([family]);
  }

  /** One statement for all of them. */
  async touch(rows: readonly number[]): Promise<void> {
    const seenAt = this.bench.database.now();
    const touches = rows.map((row): Touch => {
      const generation = this.#generations.get(row) ?? 0;
      return {
        key: keyOfRow(row),
        seenAt,
        confirmed: generation > 0 ? { generation, at: seenAt } : undefined,
        lifetime: LIFETIME,
      };
    });
    await this.bench.store.touch(touches);
  }

  /** Adds rows that have expired. */
  async expire(count: number): Promise<void> {
    const first = this.#next;
    this.#next += count;
    await add(this.bench.sql, first, this.#next - 1, "now() - interval '1 second'");
  }

  async prune(count: number): Promise<void> {
    const { sessions } = await this.bench.store.prune(count);
    if (sessions !== count) throw new Error(`${sessions} of ${count} were pruned`);
  }

  /** Signs several in with one statement, and resolves with the numbers of their rows. */
  async begin(count: number): Promise<number[]> {
    const numbers = Array.from({ length: count }, () => this.#next++);
    await this.bench.store.create(
      numbers.map((number) => this.#newRow(number)),
      [],
    );
    return numbers;
  }

  async remove(rows: readonly number[]): Promise<void> {
    await this.bench.sql.query('delete from session_guard.sessions where key = any($1)', [
      rows.map((row) => Buffer.from(keyOfRow(row), 'base64url')),
    ]);
  }

  #newRow(number: number): NewRow {
    const session = {
      key: keyOfRow(number),
      handle: randomUUID(),
      family: randomUUID(),
      kind: 'session',
      consumerId: randomUUID(),
      credentialId: randomUUID(),
      audience: 'default',
      realm: 'session kong session_guard',
      subject: undefined,
    } as const;
    return { session, sealed: this.#sealed, lifetime: LIFETIME };
  }
}
