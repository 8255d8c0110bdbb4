import type { Exchange } from '../exchange.ts';
import { LuaError, type LuaValue, encodeConfig, entries, index, isTable, unpack } from '../lua.ts';
import { pdk } from '../pdk/index.ts';
import type { Conversation } from '../recorder.ts';
import { EMPTY_MAP, type Packable, type PackableTree, decode, encode } from './codec.ts';
import type { Connection } from './connection.ts';
import { SocketError } from './connection.ts';
import type { InstanceCalls, PluginConf, RpcResult } from './instances.ts';
import { MAX_RETRIES, type PluginEvent, type Rpc, type RpcWiring } from './rpc.ts';

/** Kong's side of MsgPack:1 for one worker (runloop/plugin_servers/rpc/mp_rpc.lua). */
export class MessagePackRpc implements Rpc {
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
      const error = await this.#runEvent(event);
      if (error === undefined) return;
      if (!error.toLowerCase().includes('no plugin instance')) {
        this.#log(event.exchange, 'error', error);
        return;
      }
      this.#wiring.resetInstances();
      event.conversation.retries++;
      this.#log(event.exchange, 'warn', error);
    }
    throw new Error(
      `the plugin server does not know the instances it started: ${this.#wiring.name}`,
    );
  }

  /** The error that Kong logs while it lets the request pass; Lua errors are thrown. */
  async #runEvent(event: PluginEvent): Promise<string | undefined> {
    const { exchange, conf, phase, conversation } = event;
    const claimed = await this.#wiring.instances.claim(event, this.#instanceCalls);
    if ('error' in claimed) return claimed.error;
    let reply = await this.#step(exchange, conversation, 'plugin.HandleEvent', {
      EventName: phase,
      InstanceId: claimed.result,
    });
    const eventId = 'result' in reply ? index(reply.result, 'EventId') : undefined;
    while ('result' in reply && reply.result !== undefined) {
      const data = index(reply.result, 'Data');
      if (data === 'ret') return undefined;
      const answer = await this.#callPdk(data, exchange, conf, conversation);
      reply = await this.#step(exchange, conversation, answer.method, {
        EventId: eventId,
        Data: answer.data,
      });
    }
    return 'error' in reply ? reply.error : undefined;
  }

  async #start({ exchange, conf, conversation }: PluginEvent): Promise<RpcResult> {
    conversation.started++;
    const parameters = { Name: this.#wiring.name, Config: encodeConfig(conf.config) };
    const reply = await this.#call(
      exchange,
      'plugin.StartInstance',
      new Map(Object.entries(parameters)),
    );
    if ('error' in reply) return reply;
    if (reply.result === undefined) return { error: 'nil' };
    if (!isTable(reply.result)) throw new LuaError("attempt to index local 'status'");
    return { result: index(reply.result, 'Id') };
  }

  async #close(id: LuaValue, { exchange, conversation }: PluginEvent): Promise<void> {
    conversation.closed++;
    await this.#call(exchange, 'plugin.CloseInstance', id);
  }

  #step(
    exchange: Exchange,
    conversation: Conversation,
    method: LuaValue,
    parameters: Record<string, PackableTree>,
  ): Promise<RpcResult> {
    conversation.roundTrips++;
    return this.#call(exchange, method, new Map(Object.entries(parameters)));
  }

  async #callPdk(
    data: LuaValue,
    exchange: Exchange,
    conf: PluginConf,
    conversation: Conversation,
  ): Promise<{ method: LuaValue; data: Packable }> {
    if (!isTable(data)) throw new LuaError("attempt to index field 'Data'");
    const name = index(data, 'Method');
    if (typeof name !== 'string') throw new LuaError('bad PDK method name');
    conversation.calls.push(name);
    const call = pdk.get(name);
    if (call === undefined) {
      this.#log(exchange, 'error', `could not find pdk method: ${name}`);
      return { method: STEP_METHODS[name] ?? 'plugin.Step', data: undefined };
    }
    const scope = { exchange, plugin: { name: this.#wiring.name, id: conf.pluginId } };
    const list = index(data, 'Args');
    const pending = call(
      scope,
      ...(Array.isArray(list) ? unpack(list) : isTable(list) ? [] : [list]),
    );
    // Without a promise there is no yield, and the next step takes the same connection.
    const result = pending instanceof Promise ? await pending : pending;
    const method = index(result, '_method') ?? STEP_METHODS[name] ?? 'plugin.Step';
    return { method: method === false ? 'plugin.Step' : method, data: packable(name, result) };
  }

  /** One request and its reply on one connection, with what Kong's rpc/mp_rpc.lua makes of each failure. */
  async #call(exchange: Exchange, method: LuaValue, parameter: PackableTree): Promise<RpcResult> {
    const messageId = ++this.#messageId;
    const request = encode([0, messageId, method, [parameter]]);
    const { pool } = this.#wiring;
    let connection: Connection;
    try {
      connection = await pool.acquire();
    } catch (error) {
      if (!(error instanceof SocketError)) throw error;
      this.#log(exchange, 'error', `trying to connect: ${error.message}`);
      return { error: error.message };
    }
    try {
      connection.write(request);
      await connection.flush(this.#wiring.readTimeoutMs);
      return await this.#reply(connection, messageId);
    } catch (error) {
      pool.discard(connection);
      if (error instanceof SocketError) return { error: error.message };
      throw error;
    }
  }

  async #reply(connection: Connection, messageId: number): Promise<RpcResult> {
    for (let size = 0; ;) {
      let bytes: Buffer;
      try {
        bytes = await connection.peekBeyond(size, this.#wiring.readTimeoutMs);
      } catch (error) {
        if (size > 0) throw new LuaError('missing bytes');
        if (!(error instanceof SocketError)) throw error;
        // Kong puts the connection back, though its reply may still come.
        this.#wiring.pool.release(connection);
        return { error: 'no data' };
      }
      const message = decode(bytes);
      if (message === undefined) {
        size = bytes.length;
        continue;
      }
      if (index(message.value, 1) === 2) {
        connection.consume(message.size);
        size = 0;
        continue;
      }
      const reply = checkReply(message.value, messageId);
      connection.consume(bytes.length);
      this.#wiring.pool.release(connection);
      return reply;
    }
  }

  #log(exchange: Exchange, level: 'warn' | 'error', message: string): void {
    exchange.node.log.write(level, message, this.#wiring.name);
  }
}

function checkReply(reply: LuaValue, messageId: number): RpcResult {
  if (index(reply, 1) !== 1) throw new LuaError('RPC response expected from Go plugin server');
  if (index(reply, 2) !== messageId) {
    throw new LuaError('unexpected RPC response ID from Go plugin server');
  }
  const error = index(reply, 3);
  if (error === undefined) return { result: index(reply, 4) };
  if (typeof error === 'string') return { error };
  if (typeof error === 'number') return { error: String(error) };
  throw new LuaError("attempt to call method 'lower'");
}

/** mp_rpc.lua, get_step_method. */
const STEP_METHODS: { [name: string]: string } = {
  'kong.client.get_credential': 'plugin.StepCredential',
  'kong.client.load_consumer': 'plugin.StepConsumer',
  'kong.client.get_consumer': 'plugin.StepConsumer',
  'kong.client.authenticate': 'plugin.StepCredential',
  'kong.router.get_route': 'plugin.StepRoute',
  'kong.router.get_service': 'plugin.StepService',
  'kong.request.get_query': 'plugin.StepMultiMap',
  'kong.request.get_headers': 'plugin.StepMultiMap',
};

/** mp_rpc.lua, must_fix: multimaps of sequences, the raw body as binary. */
function packable(name: string, result: LuaValue): Packable {
  if (name === 'kong.request.get_raw_body') {
    if (typeof result === 'string') return Buffer.from(result, 'latin1');
    throw new LuaError("attempt to get length of local 'str' (a nil value)");
  }
  if (STEP_METHODS[name] !== 'plugin.StepMultiMap' || !isTable(result)) return result;
  const multimap = new Map(
    entries(result).map(([key, value]): [string, LuaValue] => {
      if (value === true) return [String(key), []];
      return [String(key), typeof value === 'string' ? [value] : value];
    }),
  );
  return multimap.size === 0 ? EMPTY_MAP : multimap;
}
