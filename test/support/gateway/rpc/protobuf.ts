import { errorExit } from '../exit.ts';
import type { Exchange } from '../exchange.ts';
import { LuaError, type LuaMap, type LuaValue, encodeConfig, index } from '../lua.ts';
import { pdk } from '../pdk/index.ts';
import type { Conversation } from '../recorder.ts';
import { type Connection, SocketError } from './connection.ts';
import type { InstanceCalls, RpcResult } from './instances.ts';
import { decodeMessage, encodeMessage } from './protobuf-codec.ts';
import { RPC_CALL, RPC_RETURN } from './protobuf-messages.ts';
import { METHODS } from './protobuf-methods.ts';
import { MAX_RETRIES, type PluginEvent, type Rpc, type RpcWiring } from './rpc.ts';

/** Kong's side of ProtoBuf:1 for one worker (runloop/plugin_servers/rpc/pb_rpc.lua). */
export class ProtobufRpc implements Rpc {
  readonly #wiring: RpcWiring;
  readonly #instanceCalls: InstanceCalls;
  #messageId = 0;

  constructor(wiring: RpcWiring) {
    this.#wiring = wiring;
    this.#instanceCalls = {
      start: (event) => this.#start(event),
      close: (id, event) => this.#close(id, event),
    };
  }

  async handleEvent(event: PluginEvent): Promise<void> {
    for (let retries = 0; retries <= MAX_RETRIES; retries++) {
      const outcome = await this.#runEvent(event);
      if ('result' in outcome) return;
      const error = outcome.error.toLowerCase();
      if (!error.includes('closed') && !error.includes('no plugin instance')) {
        throw this.#refusal(event.exchange, outcome.error);
      }
      this.#wiring.resetInstances();
      event.conversation.retries++;
      event.exchange.node.log.write('warn', outcome.error, this.#wiring.name);
    }
    throw new Error(`the plugin server closes every event: ${this.#wiring.name}`);
  }

  async #runEvent(event: PluginEvent): Promise<RpcResult> {
    const claimed = await this.#wiring.instances.claim(event, this.#instanceCalls);
    if ('error' in claimed) return claimed;
    const command: LuaMap = new Map([['instance_id', claimed.result]]);
    command.set('event_name', event.phase);
    return this.#call(event.exchange, 'cmd_handle_event', command, event);
  }

  async #start({ exchange, conf, conversation }: PluginEvent): Promise<RpcResult> {
    conversation.started++;
    const command = new Map([['name', this.#wiring.name]]);
    command.set('config', encodeConfig(conf.config));
    return instanceId(await this.#call(exchange, 'cmd_start_instance', command));
  }

  async #close(id: LuaValue, { exchange, conversation }: PluginEvent): Promise<void> {
    conversation.closed++;
    await this.#call(exchange, 'cmd_close_instance', new Map([['instance_id', id]]));
  }

  /** One RpcCall and its RpcReturn; between them, for an event, the server's own calls. */
  async #call(
    exchange: Exchange,
    command: string,
    parameters: LuaMap,
    event?: PluginEvent,
  ): Promise<RpcResult> {
    const sequence = ++this.#messageId + 1;
    let connection: Connection;
    try {
      connection = await this.#wiring.pool.acquire();
    } catch (error) {
      if (!(error instanceof SocketError)) throw error;
      exchange.node.log.write('error', `trying to connect: ${error.message}`, this.#wiring.name);
      return { error: error.message };
    }
    const frames = new Frames(connection, this.#wiring.readTimeoutMs, event?.conversation);
    let isPooled = false;
    try {
      const call: LuaMap = new Map<string, LuaValue>([['sequence', sequence]]).set(
        command,
        parameters,
      );
      frames.write(encodeMessage(RPC_CALL, call));
      if (event !== undefined) {
        const fault = await serveCalls(frames, event, this.#wiring.name);
        if (fault !== undefined) return { error: fault };
      }
      const reply = await frames.read();
      await frames.flush();
      this.#wiring.pool.release(connection);
      isPooled = true;
      return { result: checkReturn(reply, sequence) };
    } catch (error) {
      if (error instanceof ReadFault) return { error: error.message };
      throw error;
    } finally {
      // Also when the event ended in an exit: Kong's coroutine is dropped, and its socket with it.
      if (!isPooled) this.#wiring.pool.discard(connection);
    }
  }

  #refusal(exchange: Exchange, error: string): Error {
    exchange.node.log.write('error', `pluginserver error: ${error}`, this.#wiring.name);
    const accept = exchange.headers.all('accept').join(',');
    return errorExit({ status: 500 }, accept, exchange.requestId);
  }
}

const EMPTY_MESSAGE = Buffer.alloc(0);

/** Answers the server's PDK calls in their order until the empty name; a string is what Kong refuses with. */
async function serveCalls(
  frames: Frames,
  { exchange, conf, conversation }: PluginEvent,
  plugin: string,
): Promise<string | undefined> {
  const scope = { exchange, plugin: { name: plugin, id: conf.pluginId } };
  for (;;) {
    const name = (frames.take() ?? (await frames.read())).toString('latin1');
    if (name === '') return undefined;
    const argument = frames.take() ?? (await frames.read());
    conversation.calls.push(name);
    const [method, call] = [METHODS.get(name), pdk.get(name)];
    if (method === undefined || call === undefined) return `method "${name}" not found`;
    const parameters = method.unwrap(decodeMessage(method.input, argument));
    const wrapped = method.wrap(await call(scope, ...parameters));
    frames.write(wrapped === undefined ? EMPTY_MESSAGE : encodeMessage(method.output, wrapped));
  }
}

function checkReturn(reply: Buffer, sequence: number): LuaValue {
  const decoded = decodeMessage(RPC_RETURN, reply);
  if (decoded.get('sequence') !== sequence) throw new LuaError('assertion failed!');
  return decoded;
}

function instanceId(outcome: RpcResult): RpcResult {
  if ('error' in outcome) return outcome;
  const status = index(outcome.result, 'instance_status');
  if (status === undefined) {
    throw new LuaError("attempt to index field 'instance_status' (a nil value)");
  }
  return { result: index(status, 'instance_id') };
}

/** What reading fails with; writing raises in Lua. */
class ReadFault extends Error {}

const HEADER_SIZE = 4;

/** Messages with their length in front, four bytes, little-endian. */
class Frames {
  readonly #connection: Connection;
  readonly #timeoutMs: number;
  readonly #conversation: Conversation | undefined;

  constructor(connection: Connection, timeoutMs: number, conversation: Conversation | undefined) {
    this.#connection = connection;
    this.#timeoutMs = timeoutMs;
    this.#conversation = conversation;
  }

  /** The next message, once it is there: a part of the chunk that it came in. */
  async read(): Promise<Buffer> {
    if (this.#connection.isQuiet && this.#conversation) this.#conversation.roundTrips++;
    for (;;) {
      const message = this.take();
      if (message !== undefined) return message;
      await this.#receive();
    }
  }

  /** Goes out before anything is waited for, and with `flush`. */
  write(payload: Buffer): void {
    const length = Buffer.allocUnsafe(HEADER_SIZE);
    length.writeUInt32LE(payload.length);
    this.#connection.write(length);
    this.#connection.write(payload);
  }

  async flush(): Promise<void> {
    try {
      await this.#connection.flush(this.#timeoutMs);
    } catch (error) {
      throw error instanceof SocketError ? new LuaError(error.message) : error;
    }
  }

  /** The next message, if all of it is there. */
  take(): Buffer | undefined {
    const { received } = this.#connection;
    if (received.length < HEADER_SIZE) return undefined;
    const end = HEADER_SIZE + received.readUInt32LE();
    if (received.length < end) return undefined;
    this.#connection.consume(end);
    return received.subarray(HEADER_SIZE, end);
  }

  /** Waits for more than there is. */
  async #receive(): Promise<void> {
    const { length } = this.#connection.received;
    await this.flush();
    try {
      await this.#connection.peekBeyond(length, this.#timeoutMs);
    } catch (error) {
      throw error instanceof SocketError ? new ReadFault(error.message) : error;
    }
  }
}
