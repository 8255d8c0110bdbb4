import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import {
  encodeConfig,
  index,
  isTable,
  type LuaMap,
  type LuaValue,
  sequence,
} from '../support/gateway/lua.ts';
import { decode, encode } from '../support/gateway/rpc/codec.ts';
import { answer, type Config, type Kong, Outcome, textOf, type Visit } from './fuzz-kong.ts';

type Settle = (error: LuaValue, result: LuaValue) => void;

/** MsgPack:1 with all requests on one connection: a server must not mind (kong-pdk 0.6.0 dies of two in one chunk). */
export class MessagePackKong implements Kong {
  readonly #socket: Socket;
  readonly #waiting = new Map<number, Settle>();
  #instance: LuaValue;
  #received: Buffer = Buffer.alloc(0);
  #messageId = 0;
  #lost = new Error('the server closed the connection');

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('error', (error) => (this.#lost = error));
    socket.on('close', () => this.#failAll());
  }

  static async open(path: string, config: Config): Promise<MessagePackKong> {
    const socket = connect(path);
    await once(socket, 'connect');
    const kong = new MessagePackKong(socket);
    const start = { Name: 'session-guard', Config: encodeConfig(config) };
    const status = await new Promise<LuaValue>((resolve, reject) => {
      kong.#call('plugin.StartInstance', new Map(Object.entries(start)), (error, result) =>
        error === undefined ? resolve(result) : reject(new Error(textOf(error))),
      );
    });
    kong.#instance = index(status, 'Id');
    return kong;
  }

  visit(visit: Visit): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      const outcome = new Outcome();
      const step: Settle = (error, result) => {
        const data = index(result, 'Data');
        if (error !== undefined || data === undefined) return reject(new Error('no answer'));
        if (data === 'ret') return resolve(outcome);
        const method = textOf(index(data, 'Method'));
        const args = index(data, 'Args');
        const list = isTable(args) ? sequence(args) : [];
        outcome.take(method, list);
        if (method === 'kong.response.exit') return resolve(outcome);
        const next: LuaMap = new Map([['EventId', index(result, 'EventId')]]);
        const value = answer(visit, method, list[0]);
        this.#call('plugin.Step', next.set('Data', value), step);
      };
      const parameters = { EventName: 'access', InstanceId: this.#instance };
      this.#call('plugin.HandleEvent', new Map(Object.entries(parameters)), step);
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #call(method: string, parameter: LuaMap, settle: Settle): void {
    this.#messageId += 1;
    this.#waiting.set(this.#messageId, settle);
    if (this.#socket.destroyed) return this.#failAll();
    if (this.#socket.writableCorked === 0) {
      this.#socket.cork();
      process.nextTick(() => this.#socket.uncork());
    }
    this.#socket.write(encode([0, this.#messageId, method, [parameter]]));
  }

  #receive(chunk: Buffer): void {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    for (;;) {
      const message = decode(this.#received);
      if (message === undefined) return;
      this.#received = this.#received.subarray(message.size);
      const id = Number(index(message.value, 2));
      const settle = this.#waiting.get(id);
      this.#waiting.delete(id);
      settle?.(index(message.value, 3), index(message.value, 4));
    }
  }

  #failAll(): void {
    for (const settle of this.#waiting.values()) settle(this.#lost.message, undefined);
    this.#waiting.clear();
  }
}
