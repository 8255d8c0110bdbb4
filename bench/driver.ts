import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import type { LuaValue } from '../test/support/gateway/lua.ts';
import { encodeMessage } from '../test/support/gateway/rpc/protobuf-codec.ts';
import { RPC_CALL } from '../test/support/gateway/rpc/protobuf-messages.ts';
import { METHODS } from '../test/support/gateway/rpc/protobuf-methods.ts';
import type { Owner } from './sessions.ts';

/** What Kong would know of the requests. */
export interface World {
  /** Id of the plugin instance. */
  readonly instance: number;
  readonly owner: Owner;
  readonly anonymous: { readonly id: string; readonly username: string };
}

const EMPTY = Buffer.alloc(4);

function frame(content: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(content.length);
  return Buffer.concat([length, content]);
}

const map = (fields: object): LuaValue => new Map<string, LuaValue>(Object.entries(fields));

function answer(method: string, result: LuaValue): Buffer {
  const known = METHODS.get(method);
  if (known === undefined) throw new TypeError(`the stand-in has no ${method}`);
  return frame(encodeMessage(known.output, known.wrap(result)));
}

/**
 * Kong's side of ProtoBuf:1 on one connection, with answers made beforehand: so cheap that the plugin server is what is
 * measured. A request is one event; the answer to each call depends on its name and argument alone.
 */
export class Line {
  readonly #socket: Socket;
  readonly #call: Buffer;
  readonly #answers: ReadonlyMap<string, Buffer>;
  #pending: Buffer = Buffer.alloc(0);
  #name: string | undefined;
  #isReturning = false;
  #view: Buffer = EMPTY;
  #isIdentified = false;
  #done: ((isIdentified: boolean) => void) | undefined;

  private constructor(socket: Socket, { instance, owner, anonymous }: World) {
    const { consumerId: id, username } = owner;
    const command = map({ instance_id: instance, event_name: 'access' });
    this.#socket = socket;
    this.#call = frame(encodeMessage(RPC_CALL, map({ sequence: 2, cmd_handle_event: command })));
    this.#answers = new Map([
      ['kong.client.get_consumer', answer('kong.client.get_consumer', map(anonymous))],
      ['kong.client.load_consumer', answer('kong.client.load_consumer', map({ id, username }))],
    ]);
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
  }

  static async open(path: string, world: World): Promise<Line> {
    const socket = connect(path);
    await once(socket, 'connect');
    return new Line(socket, world);
  }

  /**
   * The variable of nginx/session-guard-http.conf as `request` takes it: request line, what key-auth says about whom it
   * let through as anonymous, and cookies.
   */
  static view(cookie: string, { anonymous }: Pick<World, 'anonymous'>): Buffer {
    const said = [
      anonymous.id,
      '',
      anonymous.username,
      '',
      'true',
      ...Array.from({ length: 12 }, () => ''),
    ];
    return answer('kong.nginx.get_var', `2 GET / HTTP/1.1\n${said.join('\t')}\n${cookie}`);
  }

  /** Runs one request; `done` hears whether the plugin has said who it is. One at a time. */
  request(view: Buffer, done: (isIdentified: boolean) => void): void {
    this.#view = view;
    this.#done = done;
    this.#isIdentified = false;
    this.#socket.write(this.#call);
  }

  /** @throws through the socket where the server has closed it: an event that never ends is no result */
  onClose(failed: () => void): void {
    this.#socket.once('close', failed);
  }

  close(): void {
    this.#socket.removeAllListeners('close').destroy();
  }

  #receive(chunk: Buffer): void {
    const bytes = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    const answers: Buffer[] = [];
    let at = 0;
    let isDone = false;
    while (bytes.length - at >= 4) {
      const end = at + 4 + bytes.readUInt32LE(at);
      if (end > bytes.length) break;
      isDone = this.#frame(bytes.subarray(at + 4, end), answers);
      at = end;
    }
    this.#pending = bytes.subarray(at);
    if (answers.length > 0) this.#socket.write(Buffer.concat(answers));
    if (isDone) this.#done?.(this.#isIdentified);
  }

  /** Names and arguments in turn, an empty name, the RpcReturn; true with that. */
  #frame(content: Buffer, answers: Buffer[]): boolean {
    if (this.#isReturning) {
      this.#isReturning = false;
      return true;
    }
    if (this.#name !== undefined) {
      answers.push(this.#answerTo(this.#name, content));
      this.#name = undefined;
    } else if (content.length > 0) this.#name = content.toString('latin1');
    else this.#isReturning = true;
    return false;
  }

  #answerTo(name: string, argument: Buffer): Buffer {
    if (name === 'kong.client.authenticate' || name === 'kong.nginx.set_ctx') {
      this.#isIdentified = true;
    }
    if (name !== 'kong.nginx.get_var') return this.#answers.get(name) ?? EMPTY;
    const variable = argument.toString('latin1', 2); // behind the field's key and length
    return variable === 'session_guard_turn' ? this.#view : EMPTY;
  }
}
