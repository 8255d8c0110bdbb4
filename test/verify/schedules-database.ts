import { Duplex } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import type { SchedulerAct } from 'fast-check';
import type { ClientConfig } from 'pg';
import { Database } from '../../lib/database.ts';
import type { Answer, Statement } from '../../lib/database.ts';
import { readMigrations } from '../../lib/migrate.ts';
import type { Tables } from './schedules-tables.ts';

/** Waits until a schedule lets the named step happen; nothing else does before `act` is done. */
export type Pace = (step: string, act?: SchedulerAct) => Promise<unknown>;

export const atOnce: Pace = (_, act) => (act ? act(() => Promise.resolve()) : Promise.resolve());

const SETTINGS = {
  connection: {},
  schema: 'session_guard',
  poolSize: 10,
  connectTimeout: 2000,
  statementTimeout: 2000,
  prepared: true,
  migrate: false,
  listener: {},
};

/** A node's way to the modelled tables: what it asks, is told and hears happens when the schedule says. */
export class ModelDatabase extends Database {
  pace = atOnce;
  readonly #name: string;
  readonly #tables: Tables;
  readonly #peers: readonly ModelDatabase[];
  readonly #notices: string[] = [];
  #socket: ListenSocket | undefined;

  /** `peers`: all nodes of the cluster, this one included. */
  constructor(name: string, tables: Tables, peers: readonly ModelDatabase[]) {
    super(SETTINGS, () => {});
    this.#name = name;
    this.#tables = tables;
    this.#peers = peers;
  }

  override now(): number {
    return this.#tables.now;
  }

  override get listener(): ClientConfig {
    // pg's types know a stream only by what tls makes of it.
    const stream = () => (this.#socket = new ListenSocket(this.schema)) as unknown as Duplex;
    return { stream };
  }

  override async query<Row extends object>(
    { name }: Statement,
    values: readonly unknown[],
    onSent?: () => void,
  ): Promise<Answer<Row>> {
    if (name === 'migrations') return answer((await readMigrations()) as object[] as Row[]);
    await this.pace(`${this.#name}: ${name} leaves`);
    onSent?.();
    await this.pace(`${this.#name}: ${name} runs`);
    const rows = this.#tables.execute(name, values, (payload) => this.#tell(payload));
    await this.pace(`${this.#name}: ${name} is answered`);
    return answer(rows as Row[]);
  }

  /** Every node hears it when its turn comes, in the order of the commits. */
  #tell(payload: string): void {
    for (const peer of this.#peers) peer.#hear(payload);
  }

  #hear(payload: string): void {
    this.#notices.push(payload);
    void this.pace(`${this.#name}: hears`, async (release) => {
      await release();
      this.#socket?.notify(this.#notices.shift() ?? '');
      await setImmediate(); // until it has come through the connection
    });
  }
}

const answer = <Row>(rows: Row[]): Answer<Row> => ({
  rows,
  sentAt: Date.now(),
  receivedAt: Date.now(),
});

/** As much of Postgres' protocol, version 3, as a connection needs that only listens. */
class ListenSocket extends Duplex {
  readonly #channel: string;
  #isStarted = false;

  constructor(channel: string) {
    super();
    this.#channel = channel;
  }

  connect(): this {
    process.nextTick(() => this.emit('connect'));
    return this;
  }

  setNoDelay = () => this;
  setKeepAlive = () => this;
  ref = () => this;
  unref = () => this;

  notify(payload: string): void {
    this.#send('A', int32(1), text(this.#channel), text(payload));
  }

  override _read(): void {}

  override _write(chunk: Buffer, _: BufferEncoding, done: () => void): void {
    if (!this.#isStarted) {
      this.#isStarted = true;
      this.#send('R', int32(0)); // AuthenticationOk
      this.#send('Z', Buffer.from('I'));
    } else if (chunk[0] === 0x51) this.#answer(chunk.toString('utf8', 5));
    else this.push(null); // Terminate
    done();
  }

  #answer(query: string): void {
    if (query.startsWith('select')) {
      const format = Buffer.alloc(18);
      format.writeInt32BE(25, 6); // text
      this.#send('T', int16(1), text('channel'), format);
      this.#send('D', int16(1), int32(this.#channel.length), Buffer.from(this.#channel));
    }
    this.#send('C', text('DONE'));
    this.#send('Z', Buffer.from('I'));
  }

  #send(type: string, ...parts: Buffer[]): void {
    const body = Buffer.concat(parts);
    this.push(Buffer.concat([Buffer.from(type), int32(body.length + 4), body]));
  }
}

const text = (value: string): Buffer => Buffer.from(`${value}\0`);

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

function int16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeInt16BE(value);
  return bytes;
}
