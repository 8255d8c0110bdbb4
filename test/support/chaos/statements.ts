import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';

/** What the proxy does to one statement. */
export type StatementFault =
  /** The server answers with an error instead of doing it. */
  | 'error'
  /** The server's farewell: its operator ended the connection. */
  | 'terminated'
  /** The connection is cut before the server has it. */
  | 'cut before'
  /** The server does it; the connection is cut before its answer. */
  | 'cut after'
  /** No byte passes on this connection any more. */
  | 'silence'
  /** The server does it at once; its answer comes when nobody waits any more. */
  | 'late';

export const STATEMENT_FAULTS: readonly StatementFault[] = [
  'error',
  'terminated',
  'cut before',
  'cut after',
  'silence',
  'late',
];

/** Statements of the background, which no request waits for. */
const BACKGROUND = /^(touch|prune|migrations)/;

/**
 * A TCP proxy in front of Postgres that understands as much of the protocol as it takes to see statements go by (PostgreSQL
 * documentation, "Message Formats"): it lists them by name, and breaks the one it is told to.
 */
export class StatementProxy {
  readonly #target: { readonly host: string; readonly port: number };
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #late: number;
  /** The statements of requests since `watch`, by name. */
  #seen: string[] = [];
  #plan: { readonly at: number; readonly fault: StatementFault } | undefined;

  private constructor(target: { host: string; port: number }, late: number) {
    this.#target = target;
    this.#late = late;
    this.#server = createServer((socket) => this.#join(socket));
  }

  /** In front of the server of a `postgres://` URL. `late`: milliseconds until late answers come. */
  static async open(url: string, late: number): Promise<StatementProxy> {
    const { hostname, port } = new URL(url);
    const proxy = new StatementProxy({ host: hostname, port: Number(port || 5432) }, late);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  /** The URL with this proxy in the place of the server. */
  through(url: string): string {
    const result = new URL(url);
    result.hostname = '127.0.0.1';
    result.port = String((this.#server.address() as AddressInfo).port);
    return result.href;
  }

  /** Lists statements from now on; the one with this index meets the fault. */
  watch(at = Infinity, fault: StatementFault = 'error'): void {
    this.#seen = [];
    this.#plan = { at, fault };
  }

  get seen(): readonly string[] {
    return this.#seen;
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #join(client: Socket): void {
    const server = connect(this.#target);
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => {}); // 'close' follows
      socket.on('close', () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
    }
    const line = new Line(client, server, this.#late);
    const onStatement = (name: string) => this.#faultOf(name);
    client.on('data', (bytes: Buffer) => line.fromClient(bytes, onStatement));
    server.on('data', (bytes: Buffer) => line.fromServer(bytes));
  }

  #faultOf(name: string): StatementFault | undefined {
    if (BACKGROUND.test(name)) return undefined;
    this.#seen.push(name);
    const { at, fault } = this.#plan ?? {};
    return this.#seen.length - 1 === at ? fault : undefined;
  }
}

/** Types of messages; those of the extended protocol belong to the statement that the next Sync ends. */
const QUERY = 'Q';
const SYNC = 'S';
const EXTENDED = new Set(['P', 'B', 'D', 'E', 'C']);
const READY = 'Z'.charCodeAt(0);

/** One connection. The bytes of a statement are held back until all of it is there. */
class Line {
  readonly #client: Socket;
  readonly #server: Socket;
  readonly #late: number;
  readonly #held: Buffer[] = [];
  #pending: Buffer = Buffer.alloc(0);
  #answer: Buffer = Buffer.alloc(0);
  #name = '';
  #isListener = false;
  #hasStarted = false;
  #isSilent = false;
  #awaiting: 'cut after' | 'late' | undefined;

  constructor(client: Socket, server: Socket, late: number) {
    this.#client = client;
    this.#server = server;
    this.#late = late;
  }

  fromClient(bytes: Buffer, faultOf: (name: string) => StatementFault | undefined): void {
    this.#pending = Buffer.concat([this.#pending, bytes]);
    while (!this.#isSilent) {
      // The first message of a connection has no type before its length.
      const head = this.#hasStarted ? 1 : 0;
      if (this.#pending.length < head + 4) return;
      const size = head + this.#pending.readUInt32BE(head);
      if (this.#pending.length < size) return;
      const message = this.#pending.subarray(0, size);
      this.#pending = this.#pending.subarray(size);
      if (this.#hasStarted) this.#take(message, faultOf);
      else this.#begin(message);
    }
  }

  fromServer(bytes: Buffer): void {
    if (this.#isSilent) return;
    if (this.#awaiting === undefined) {
      this.#client.write(bytes);
      return;
    }
    this.#answer = Buffer.concat([this.#answer, bytes]);
    // ReadyForQuery, the last message of an answer, is six bytes long.
    if (this.#answer.at(-6) !== READY) return;
    if (this.#awaiting === 'cut after') this.#client.resetAndDestroy();
    else setTimeout(() => this.#client.writable && this.#client.write(this.#answer), this.#late);
    this.#isSilent = true;
  }

  #begin(message: Buffer): void {
    this.#hasStarted = true;
    this.#isListener = message.includes('session-guard listener');
    this.#server.write(message);
  }

  #take(message: Buffer, faultOf: (name: string) => StatementFault | undefined): void {
    const type = String.fromCharCode(message[0] ?? 0);
    this.#name = statementName(type, message) || this.#name;
    if (EXTENDED.has(type)) {
      this.#held.push(message);
      return;
    }
    const isStatement = type === SYNC || type === QUERY;
    const fault = isStatement && !this.#isListener ? faultOf(this.#name) : undefined;
    if (isStatement) this.#name = '';
    this.#meet(fault, Buffer.concat([...this.#held.splice(0), message]));
  }

  #meet(fault: StatementFault | undefined, statement: Buffer): void {
    switch (fault) {
      case undefined:
        this.#server.write(statement);
        return;
      case 'error':
        // The server never saw it, so it is ready for the next one.
        this.#client.write(Buffer.concat([errorResponse('ERROR', '53100'), READY_FOR_QUERY]));
        return;
      case 'terminated':
        this.#client.end(errorResponse('FATAL', '57P01'));
        return;
      case 'cut before':
        this.#client.resetAndDestroy();
        return;
      case 'silence':
        this.#isSilent = true;
        return;
      case 'cut after':
      case 'late':
        this.#awaiting = fault;
        this.#server.write(statement);
    }
  }
}

/** The name of a prepared statement, or else how its text begins; '' where the message tells neither. */
function statementName(type: string, message: Buffer): string {
  const [first = '', second = ''] = message.toString('latin1', 5).split('\0', 2);
  if (type === 'B') return second; // the portal's name comes first
  if (type === 'P') return first || beginningOf(second);
  return type === QUERY ? beginningOf(first) : '';
}

const beginningOf = (text: string): string => text.trim().split(/\s+/, 3).join(' ');

function errorResponse(severity: string, code: string): Buffer {
  const fields = [`S${severity}`, `V${severity}`, `C${code}`, 'Mbroken on purpose', ''];
  const body = Buffer.from(fields.map((field) => `${field}\0`).join(''), 'latin1');
  const head = Buffer.from('E\0\0\0\0', 'latin1');
  head.writeUInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}

/** Idle, in no transaction. */
const READY_FOR_QUERY = Buffer.from('Z\0\0\0\x05I', 'latin1');
