import type { SessionRow } from '../../lib/rows.ts';
import type { Lifetime } from '../../lib/storage.ts';

type Row = Omit<SessionRow, 'now'>;
type Values = readonly unknown[];

/** A notice for every node, as NOTIFY carries it. */
export type Notify = (payload: string) => void;

/**
 * What the statements of lib/statements.ts do to the tables, each at one moment, in memory: a model of Postgres for
 * schedules that no Postgres could be made to run. schedules.test.ts holds it against a real one.
 */
export class Tables {
  /** Milliseconds since the epoch. */
  now = 0;
  readonly rows = new Map<string, Row>();
  readonly #cutoffs = new Map<string, number>();
  /** How often the generation of a row was raised since it was stored, rows that are gone included. */
  readonly raises = new Map<string, number>();

  clear(now: number): void {
    this.now = now;
    this.rows.clear();
    this.#cutoffs.clear();
    this.raises.clear();
  }

  execute(name: string, values: Values, notify: Notify): object[] {
    switch (name) {
      case 'load':
        return this.#answer(this.#living(values[0]));
      case 'create':
        return this.#create(values);
      case 'create_replacing':
        return this.#createReplacing(values, notify);
      case 'renew':
        return this.#renew(values);
      case 'touch':
        return this.#touch(values);
      case 'end':
        return [this.#end([String(values[0])], values[2], notify)];
      case 'end_several':
        return [this.#end(values[0] as string[], values[2], notify)];
      case 'cut':
        return this.#cut(values, notify);
      case 'remove_consumer':
        return this.#removeConsumer(String(values[0]));
      default:
        throw new Error(`the model has no statement ${name}`);
    }
  }

  isAlive(row: Row): boolean {
    const cutOff = this.#cutoffs.get(row.consumer_id) ?? -Infinity;
    return row.expires_at > this.now && !(cutOff >= row.authenticated_at);
  }

  #living(key: unknown): Row | undefined {
    const row = this.rows.get(nameOf(key));
    return row && this.isAlive(row) ? row : undefined;
  }

  #answer(row: Row | undefined): SessionRow[] {
    return row ? [{ ...row, now: this.now }] : [];
  }

  #createReplacing(values: Values, notify: Notify): object[] {
    const told = this.#end(values[12] as string[], values[14], notify);
    return this.#create(values).map((row) => ({ ...row, ...told }));
  }

  #create(values: Values): object[] {
    const [keys, handles, families, kinds, consumers, credentials] = values as unknown[][];
    const [audiences, realms, subjects, data, rolling, absolute] = values.slice(6) as unknown[][];
    const { now } = this;
    return (keys ?? []).map((key, i) => {
      const lifetime = { rolling: rolling?.[i], absolute: absolute?.[i] } as Lifetime;
      const row = {
        key,
        handle: handles?.[i],
        family: families?.[i],
        kind: kinds?.[i],
        generation: 0,
        consumer_id: consumers?.[i],
        credential_id: credentials?.[i],
        audience: audiences?.[i],
        realm: realms?.[i],
        subject: subjects?.[i],
        data: data?.[i],
        authenticated_at: now,
        started_at: now,
        renewed_at: now,
        previous_renewed_at: null,
        confirmed_at: null,
        seen_at: now,
        expires_at: expiry(now, now, lifetime),
      } as Row;
      if (this.rows.has(nameOf(key))) throw new Error('duplicate key');
      this.rows.set(nameOf(key), row);
      return { ...row, now, ended: [], again: [] };
    });
  }

  #renew([key, generation, rolling, absolute, sealed]: Values): object[] {
    const row = this.#living(key);
    if (row === undefined) return [];
    const raised = row.generation === generation;
    if (raised) {
      row.generation += 1;
      row.previous_renewed_at = row.renewed_at;
      row.renewed_at = this.now;
      row.confirmed_at = null;
      row.data = sealed as Buffer;
      this.raises.set(nameOf(key), (this.raises.get(nameOf(key)) ?? 0) + 1);
    }
    row.seen_at = Math.max(row.seen_at, this.now);
    this.#prolong(row, { rolling, absolute } as Lifetime);
    return this.#answer(row).map((answer) => ({ ...answer, raised }));
  }

  #touch(values: Values): [] {
    const [keys, seen, generations, confirmed, rolling, absolute] = values as unknown[][];
    for (const [i, key] of (keys ?? []).entries()) {
      const row = this.rows.get(nameOf(key));
      if (row === undefined || row.expires_at <= this.now) continue;
      row.seen_at = Math.max(row.seen_at, Math.min(Number(seen?.[i]), this.now));
      if (row.confirmed_at === null && row.generation === generations?.[i]) {
        row.confirmed_at = Math.min(Number(confirmed?.[i]), this.now);
      }
      this.#prolong(row, { rolling: rolling?.[i], absolute: absolute?.[i] } as Lifetime);
    }
    return [];
  }

  #prolong(row: Row, lifetime: Lifetime): void {
    row.expires_at = Math.max(row.expires_at, expiry(row.renewed_at, row.started_at, lifetime));
  }

  #end(families: readonly string[], notice: unknown, notify: Notify) {
    const gone = [...this.rows].filter(([, { family }]) => families.includes(family));
    for (const [name] of gone) this.rows.delete(name);
    for (const family of families) notify(String(notice) + family);
    const again = gone.flatMap(([, { family, kind }]) => (kind === 1 ? [family] : []));
    return { ended: [...families], again };
  }

  #cut([kind, target]: Values, notify: Notify): object[] {
    if (kind !== 'consumer') throw new Error('the model cuts off consumers only');
    this.#cutoffs.set(String(target), this.now);
    notify(`consumer ${this.now} ${String(target)}`);
    return [{ ended_before: this.now }];
  }

  #removeConsumer(consumer: string): object[] {
    const cutOff = this.#cutoffs.get(consumer) ?? -Infinity;
    const gone = [...this.rows].filter(
      ([, row]) => row.consumer_id === consumer && row.authenticated_at <= cutOff,
    );
    for (const [name] of gone) this.rows.delete(name);
    return gone.map(([, { key }]) => ({ key }));
  }
}

const nameOf = (key: unknown): string => (key as Buffer).toString('base64url');

/** 0 = without end. */
const expiry = (renewedAt: number, startedAt: number, { rolling, absolute }: Lifetime): number =>
  Math.min(
    rolling === 0 ? Infinity : renewedAt + rolling,
    absolute === 0 ? Infinity : startedAt + absolute,
  );
