import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { FrameReader } from '../../lib/server/protobuf-codec.ts';
import { encodeConfig, index, type LuaMap, type LuaValue } from '../support/gateway/lua.ts';
import { decodeMessage, encodeMessage } from '../support/gateway/rpc/protobuf-codec.ts';
import { RPC_CALL, RPC_RETURN } from '../support/gateway/rpc/protobuf-messages.ts';
import { METHODS } from '../support/gateway/rpc/protobuf-methods.ts';
import { answer, type Config, type Kong, Outcome, type Visit } from './fuzz-kong.ts';

/** ProtoBuf:1 over so many connections, each with one request at a time. */
export class ProtobufKong implements Kong {
  readonly #path: string;
  readonly #idle: Line[] = [];
  readonly #lines = new Set<Line>();
  #instance: LuaValue;

  private constructor(path: string) {
    this.#path = path;
  }

  static async open(path: string, config: Config): Promise<ProtobufKong> {
    const kong = new ProtobufKong(path);
    const line = await kong.#line();
    const command: LuaMap = new Map([['name', 'session-guard']]);
    command.set('config', encodeConfig(config));
    const status = index(await line.call('cmd_start_instance', command), 'instance_status');
    kong.#instance = index(status, 'instance_id');
    kong.#idle.push(line);
    return kong;
  }

  async visit(visit: Visit): Promise<Outcome> {
    const line = this.#idle.pop() ?? (await this.#line());
    const command: LuaMap = new Map([['event_name', 'access']]);
    const outcome = new Outcome();
    await line.call('cmd_handle_event', command.set('instance_id', this.#instance), {
      visit,
      outcome,
    });
    if (outcome.exit === undefined) this.#idle.push(line);
    else this.#close(line);
    return outcome;
  }

  close(): void {
    for (const line of this.#lines) this.#close(line);
  }

  async #line(): Promise<Line> {
    const line = await Line.open(this.#path);
    this.#lines.add(line);
    return line;
  }

  #close(line: Line): void {
    this.#lines.delete(line);
    line.close();
  }
}

interface Event {
  readonly visit: Visit;
  readonly outcome: Outcome;
}

interface Call {
  readonly event: Event | undefined;
  readonly resolve: (reply: LuaValue) => void;
  readonly reject: (error: Error) => void;
}

class Line {
  readonly #socket: Socket;
  readonly #frames = new FrameReader();
  #sequence = 1;
  #call: Call | undefined;
  /** The name of a PDK call whose argument is still to come; `''` ends an event. */
  #name: string | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('error', () => undefined); // 'close' follows
    socket.on('close', () => this.#call?.reject(new Error('the server closed the connection')));
  }

  static async open(path: string): Promise<Line> {
    const socket = connect(path);
    await once(socket, 'connect');
    return new Line(socket);
  }

  /** An RpcCall and its RpcReturn, or the exit of the event between them. */
  call(command: string, parameters: LuaMap, event?: Event): Promise<LuaValue> {
    this.#sequence += 1;
    const call: LuaMap = new Map<string, LuaValue>([['sequence', this.#sequence]]);
    this.#name = event === undefined ? '' : undefined;
    return new Promise((resolve, reject) => {
      this.#call = { event, resolve, reject };
      this.#socket.write(framed(encodeMessage(RPC_CALL, call.set(command, parameters))));
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #receive(chunk: Buffer): void {
    this.#frames.push(chunk);
    this.#socket.cork();
    for (;;) {
      const frame = this.#frames.next();
      if (frame === undefined) break;
      this.#take(frame);
    }
    this.#socket.uncork();
  }

  #take(frame: Buffer): void {
    const { event, resolve, reject } = this.#call ?? NOBODY;
    if (this.#name === '' || event === undefined) {
      const reply = decodeMessage(RPC_RETURN, frame);
      const isOurs = reply.get('sequence') === this.#sequence;
      return isOurs ? resolve(reply) : reject(new Error('another sequence'));
    }
    if (this.#name === undefined) {
      this.#name = frame.toString('latin1');
      return;
    }
    const name = this.#name;
    this.#name = undefined;
    const method = METHODS.get(name);
    if (method === undefined) return reject(new Error(`method "${name}" not found`));
    // Large, with every request, and of no interest.
    const isRead = name !== 'kong.service.request.set_headers';
    const args = isRead ? method.unwrap(decodeMessage(method.input, frame)) : [];
    event.outcome.take(name, args);
    if (event.outcome.exit !== undefined) return resolve(undefined);
    const wrapped = method.wrap(answer(event.visit, name, args[0]));
    this.#socket.write(framed(wrapped === undefined ? NIL : encodeMessage(method.output, wrapped)));
  }
}

const NIL = Buffer.alloc(0);

const NOBODY: Call = {
  event: undefined,
  resolve: () => undefined,
  reject: () => undefined,
};

function framed(payload: Buffer): Buffer {
  const frame = Buffer.allocUnsafe(4 + payload.length);
  frame.writeUInt32LE(payload.length);
  payload.copy(frame, 4);
  return frame;
}
