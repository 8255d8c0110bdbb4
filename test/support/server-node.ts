import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { KongLine } from '../contract/server-kong-protobuf.ts';
import type { Consumer } from '../../lib/consumers.ts';
import type { LuaMap, LuaValue } from './gateway/lua.ts';
import { index } from './gateway/lua.ts';
import { decodeMessage, encodeMessage } from './gateway/rpc/protobuf-codec.ts';
import { METHODS } from './gateway/rpc/protobuf-methods.ts';

const SERVER = fileURLToPath(new URL('../../dist/lib/server/main.js', import.meta.url));
const PLUGIN = 'session-guard';
/** Requests under way at most; more wait in line. A unix socket would refuse what is beyond its backlog. */
const CONNECTIONS = 64;

/** A request as Kong's auth plugins leave it to us. */
export interface Ask {
  /** The Cookie header. */
  readonly cookies?: string;
  /** Who signs in with this request. Without one the request is the anonymous consumer's. */
  readonly consumer?: Consumer;
  /** Default GET. */
  readonly method?: string;
  /** Path and query. Default `/`. */
  readonly target?: string;
  /** Other headers, their names in lower case. */
  readonly headers?: { readonly [name: string]: string };
}

/** What became of a request. */
export interface Reply {
  /** 200 where the request goes on to the upstream. */
  readonly status: number;
  /** The id of the consumer that the session proved. */
  readonly consumerId: string | undefined;
  /** The Set-Cookie lines. */
  readonly setCookies: readonly string[];
  /** What we answered with instead of the upstream. */
  readonly body: string | undefined;
}

/** Whether it was us who answered, with success, and not the upstream. */
export const isOurAnswer = ({ status, body }: Reply): boolean => status < 300 && body !== undefined;

export const ANONYMOUS: Consumer = {
  id: '00000000-0000-4000-8000-000000000000',
  username: 'anonymous',
};

/**
 * A real session-guard-server process, spoken to over its socket as Kong 3.9 does, without Kong's cost: one connection
 * for each request under way, two round trips each. Every consumer exists.
 */
export class ServerNode {
  readonly #child: ChildProcess;
  readonly #folder: string;
  readonly #idle: KongLine[] = [];
  #taken = 0;
  readonly #waiting: (() => void)[] = [];
  #stderr = '';

  private constructor(folder: string, server: string) {
    this.#folder = folder;
    this.#child = spawn(process.execPath, [server, '--socket', this.#socket], {
      env: {},
      cwd: '/',
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.#child.stderr?.on('data', (chunk: Buffer) => (this.#stderr += chunk.toString()));
  }

  /** `server` is the program, by default this version's. */
  static async start(server = SERVER): Promise<ServerNode> {
    const node = new ServerNode(await mkdtemp(join(tmpdir(), 'session-guard-node-')), server);
    for (let attempt = 0; attempt < 1000 && !existsSync(node.#socket); attempt++) {
      if (node.#child.exitCode !== null) break;
      await sleep(20);
    }
    if (existsSync(node.#socket)) return node;
    await node.kill();
    throw new Error(`the server did not start:\n${node.#stderr}`);
  }

  /** So many nodes at once. */
  static startAll(count: number): Promise<ServerNode[]> {
    return Promise.all(Array.from({ length: count }, () => ServerNode.start()));
  }

  get #socket(): string {
    return join(this.#folder, 'server.sock');
  }

  /** Lines of the log, parsed. */
  get log(): { event?: string; [field: string]: unknown }[] {
    const lines = this.#stderr.split('\n').slice(0, -1);
    return lines.map((line) => JSON.parse(line) as { event?: string });
  }

  /** Starts a plugin instance; what it returns are requests to the route that has it. */
  async route(config: object): Promise<ServerRoute> {
    const line = await this.#take();
    const id = await line.start(config, PLUGIN);
    this.#give(line, true);
    return new ServerRoute(this, id);
  }

  async ask(instanceId: number, ask: Ask): Promise<Reply> {
    const line = await this.#take();
    const conversation = new Conversation(line, ask);
    const reply = await conversation.run(instanceId);
    this.#give(line, conversation.isOpen);
    return reply;
  }

  /** Orderly, what is pending written. Resolves with the exit code. */
  async stop(): Promise<number | null> {
    for (const line of this.#idle.splice(0)) line.socket.destroy();
    return this.#end('SIGTERM');
  }

  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  async #end(signal: NodeJS.Signals): Promise<number | null> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const exit = once(this.#child, 'exit');
      this.#child.kill(signal);
      await exit;
    }
    await rm(this.#folder, { recursive: true, force: true });
    return this.#child.exitCode;
  }

  async #take(): Promise<KongLine> {
    if (this.#taken === CONNECTIONS) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else this.#taken++;
    return this.#idle.pop() ?? KongLine.open(this.#socket);
  }

  /** Kong's coroutine ends with an exit, and its connection with it. */
  #give(line: KongLine, isOpen: boolean): void {
    if (isOpen) this.#idle.push(line);
    else line.socket.destroy();
    const next = this.#waiting.shift();
    if (next) next();
    else this.#taken--;
  }
}

/** A route with the plugin, at one node. */
export class ServerRoute {
  readonly #node: ServerNode;
  readonly #instanceId: number;

  constructor(node: ServerNode, instanceId: number) {
    this.#node = node;
    this.#instanceId = instanceId;
  }

  ask(ask: Ask = {}): Promise<Reply> {
    return this.#node.ask(this.#instanceId, ask);
  }
}

const EMPTY = Buffer.alloc(0);
/** Calls without an answer that tell what becomes of the request. The others need not be looked into. */
const ACTS = new Set([
  'kong.nginx.set_ctx',
  'kong.response.add_header',
  'kong.response.set_headers',
  'kong.response.exit',
]);

/** One request on one connection: answers the plugin's questions and notes what it does. */
class Conversation {
  readonly #line: KongLine;
  readonly #ask: Ask;
  #status = 200;
  #consumerId: string | undefined;
  #body: string | undefined;
  #setCookies: string[] = [];
  isOpen = true;

  constructor(line: KongLine, ask: Ask) {
    this.#line = line;
    this.#ask = ask;
  }

  async run(instanceId: number): Promise<Reply> {
    this.#line.handle(instanceId);
    while (this.isOpen) {
      const name = await this.#line.name();
      if (name === '') {
        await this.#line.returned();
        break;
      }
      this.#handle(name, await this.#line.frame());
    }
    return {
      status: this.#status,
      consumerId: this.#consumerId,
      setCookies: this.#setCookies,
      body: this.#body,
    };
  }

  #handle(name: string, argument: Buffer): void {
    const method = METHODS.get(name);
    if (method === undefined) throw new Error(`Kong has no ${name}`);
    if (ACTS.has(name)) {
      this.#note(name, method.unwrap(decodeMessage(method.input, argument)));
      if (this.isOpen) this.#send(EMPTY);
      return;
    }
    const answer = this.#answer(name, () => method.unwrap(decodeMessage(method.input, argument)));
    const wrapped = answer === undefined ? undefined : method.wrap(answer);
    this.#send(wrapped === undefined ? EMPTY : encodeMessage(method.output, wrapped));
  }

  /** The answers to one batch leave together. */
  #send(answer: Uint8Array): void {
    const { socket } = this.#line;
    socket.cork();
    process.nextTick(() => socket.uncork());
    this.#line.send(answer);
  }

  #note(name: string, [first, second, third]: LuaValue[]): void {
    if (name === 'kong.nginx.set_ctx') {
      if (first === 'authenticated_consumer') this.#consumerId = textOf(index(second, 'id'));
    } else if (name === 'kong.response.add_header') {
      if (first === 'Set-Cookie') this.#setCookies.push(...textsOf(second));
    } else if (name === 'kong.response.exit') {
      this.isOpen = false;
      this.#status = typeof first === 'number' ? first : NaN;
      this.#body = textOf(second);
      this.#setCookies = textsOf(index(third, 'Set-Cookie'));
    }
  }

  /** By their names in lower case. */
  get #headers(): LuaMap {
    const { cookies, headers = {} } = this.#ask;
    const all: LuaMap = new Map(Object.entries(headers));
    return cookies === undefined ? all : all.set('cookie', cookies);
  }

  #answer(name: string, arguments_: () => LuaValue[]): LuaValue {
    const { consumer, cookies, method = 'GET', target = '/' } = this.#ask;
    switch (name) {
      case 'kong.client.get_credential':
        return consumer && new Map([['id', `credential of ${consumer.id}`]]);
      case 'kong.client.get_consumer':
        return consumerMap(consumer ?? ANONYMOUS);
      case 'kong.client.load_consumer':
        return new Map([['id', arguments_()[0]]]);
      case 'kong.request.get_forwarded_scheme':
        return 'https';
      case 'kong.client.get_forwarded_ip':
        return '192.0.2.1';
      case 'kong.request.get_header':
        return this.#headers.get(textOf(arguments_()[0]) ?? '');
      case 'kong.request.get_headers':
        return this.#headers;
      case 'kong.nginx.get_var': {
        const [variable] = arguments_();
        if (variable === 'request') return `${method} ${target} HTTP/1.1`;
        return variable === 'http_cookie' ? cookies : undefined;
      }
      default:
        return undefined;
    }
  }
}

function consumerMap({ id, username, customId }: Consumer): LuaMap {
  const map: LuaMap = new Map([['id', id]]);
  if (username !== undefined) map.set('username', username);
  if (customId !== undefined) map.set('custom_id', customId);
  return map;
}

const textOf = (value: LuaValue): string | undefined =>
  typeof value === 'string' ? value : undefined;

const textsOf = (value: LuaValue): string[] =>
  (Array.isArray(value) ? value : [value]).flatMap((one) => textOf(one) ?? []);
