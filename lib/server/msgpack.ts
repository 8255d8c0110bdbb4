import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import type { PdkValue } from '../pdk.ts';
import { UNAVAILABLE } from './event.ts';
import type { Host } from './host.ts';
import {
  INCOMPLETE,
  MsgpackError,
  packNotification,
  packReply,
  Unpacker,
} from './msgpack-codec.ts';
import { asStep, MsgpackEvent } from './msgpack-event.ts';
import type { Turn } from './msgpack-event.ts';
import type { Ask, Transport } from './transport.ts';

const REQUEST = 0;

/**
 * A notification, under a label that Kong does not know. While it waits for an answer Kong overlooks it; an idle
 * connection on which something can be read is closed by nginx (keepalive handlers of
 * lua-nginx-module). So of whatever Kong is doing nothing is lost, which closing the connection here cannot promise.
 */
const DRAINING = packNotification('draining');

/** These words make Kong start the instance and then run the request again from its beginning. */
const NO_INSTANCE = 'no plugin instance here';

/**
 * Kong lets a request pass when it gets an error string; an error of any other type is a Lua error,
 * hence a 500 (Kong's rpc/mp_rpc.lua).
 */
const refusal = (message: string): PdkValue => ({ message });

const isMap = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * A step is known by its shape: a client's data can choose the name of its method (Kong's rpc/mp_rpc.lua).
 */
const isStep = (value: unknown): value is Record<string, unknown> =>
  isMap(value) && value['EventId'] !== undefined && value['InstanceId'] === undefined;

/** MsgPack:1, the protocol of every Kong since 2.0. */
export class MsgpackTransport implements Transport {
  /** The running requests, by the id that Kong sends back with every step. */
  readonly events = new Map<string, MsgpackEvent>();
  readonly #host: Host;
  readonly #prefix = randomBytes(9).toString('base64url');
  #count = 0;

  constructor(host: Host) {
    this.#host = host;
  }

  /**
   * `[0, id, …` of MessagePack begins with 94 00 and an id from 1 on in its shortest form. A
   * ProtoBuf length that begins with 94 00 either ends with 00 or is beyond what that transport
   * takes; an id with 00 there has a marker before it.
   */
  accepts(head: Buffer): boolean {
    if (head[0] !== 0x94 || head[1] !== REQUEST) return false;
    return head[3] !== 0 || head[2]! >= 0xcc;
  }

  serve(socket: Socket, first: Buffer): Ask {
    const connection = new Connection(socket, this.#host, this);
    socket.on('data', (chunk) => connection.receive(chunk));
    connection.receive(first);
    return () => connection.askForEnd();
  }

  /** Whether it is the id of a request that began in this process. */
  isOurs(eventId: unknown): boolean {
    return typeof eventId === 'string' && eventId.startsWith(`${this.#prefix}.`);
  }

  begin(turn: Turn): MsgpackEvent {
    this.#count += 1;
    return new MsgpackEvent(this.#host, `${this.#prefix}.${this.#count}`, turn, this.events);
  }
}

class Connection {
  readonly #socket: Socket;
  readonly #host: Host;
  readonly #transport: MsgpackTransport;
  readonly #unpacker = new Unpacker();
  /** Whether Kong waits for an answer of ours. */
  #isOwing = false;
  /** The request that was heard of last here. Until it is over Kong comes back, as a rule by this connection. */
  #event: MsgpackEvent | undefined;

  constructor(socket: Socket, host: Host, transport: MsgpackTransport) {
    this.#socket = socket;
    this.#host = host;
    this.#transport = transport;
  }

  receive(chunk: Buffer): void {
    this.#unpacker.push(chunk);
    try {
      for (;;) {
        const message = this.#unpacker.next();
        if (message === INCOMPLETE) return;
        this.#handle(message);
      }
    } catch (err) {
      if (!(err instanceof MsgpackError)) throw err;
      this.#host.log.error({ event: 'garbage', reason: err.message }, 'closed a connection');
      this.#socket.destroy();
    }
  }

  askForEnd(): void {
    if (!this.#isOwing && this.#event?.isOver !== false) this.#socket.write(DRAINING);
  }

  #handle(message: unknown): void {
    this.#isOwing = true;
    if (!Array.isArray(message) || message.length !== 4) throw new MsgpackError('not a call');
    const [type, id, method, args] = message as unknown[];
    if (type !== REQUEST || typeof id !== 'number' || !Array.isArray(args)) {
      throw new MsgpackError('not a call');
    }
    const argument: unknown = args[0];
    if (isStep(argument)) return this.#step(id, method, argument);
    switch (method) {
      case 'plugin.HandleEvent':
        return this.#handleEvent(id, argument);
      case 'plugin.StartInstance':
        return this.#startInstance(id, argument);
      case 'plugin.CloseInstance':
        this.#host.instances.close(argument);
        return this.#answer(id, {});
      default:
        return this.#refuse(id, 'unknown method');
    }
  }

  #step(id: number, method: unknown, { EventId, Data }: Record<string, unknown>): void {
    const event = typeof EventId === 'string' ? this.#transport.events.get(EventId) : undefined;
    this.#event = event;
    if (event?.step(this.#turn(id), Data)) return;
    // Kong has looked for a consumer in its database and come back on a connection to another server than the one that
    // asked (Kong's rpc/mp_rpc.lua). Nothing has been done about the request by then: it may begin again.
    if (method === 'plugin.StepConsumer' && !this.#transport.isOurs(EventId)) {
      return this.#fail(id, NO_INSTANCE);
    }
    // Of a process before us, or past its deadline. Kong carries out whatever call we answer with.
    this.#host.log.warn({ event: 'unknown-event' }, 'answered 503 to a request that is not known');
    this.#answer(id, { Data: asStep(UNAVAILABLE) });
  }

  #handleEvent(id: number, argument: unknown): void {
    const { InstanceId, EventName } = isMap(argument) ? argument : {};
    if (EventName !== 'access') return this.#refuse(id, 'unknown phase');
    const instance = this.#host.instances.get(InstanceId);
    // Not because we drain: Kong would come back on this connection, again and again.
    if (!instance) return this.#fail(id, NO_INSTANCE);
    this.#event = this.#transport.begin(this.#turn(id));
    void this.#event.run(instance);
  }

  #startInstance(id: number, argument: unknown): void {
    const { Name, Config } = isMap(argument) ? argument : {};
    const { plugin, instances } = this.#host;
    if (Name !== plugin.name || typeof Config !== 'string') {
      return this.#fail(id, `this server runs ${plugin.name} only`);
    }
    try {
      const instanceId = instances.start(Buffer.from(Config, 'latin1'), 'string');
      this.#answer(id, { Name: plugin.name, Id: instanceId });
    } catch (err) {
      this.#fail(id, bytes(err instanceof Error ? err.message : String(err)));
    }
  }

  #turn(id: number): Turn {
    return { reply: (data) => this.#send(packReply(id, undefined, data)) };
  }

  #answer(id: number, result: PdkValue): void {
    this.#send(packReply(id, undefined, result));
  }

  /**
   * Kong acts on the text where it knows it, and otherwise fails the start of an instance with 500.
   */
  #fail(id: number, error: string): void {
    this.#send(packReply(id, error, undefined));
  }

  #refuse(id: number, reason: string): void {
    this.#host.log.error({ event: 'refused', reason }, 'refused a call');
    this.#send(packReply(id, refusal(reason), undefined));
  }

  #send(reply: Buffer): boolean {
    this.#isOwing = false;
    if (!this.#socket.writable) return false;
    this.#socket.write(reply);
    return true;
  }
}

/** Text as the bytes of its UTF-8. */
const bytes = (text: string): string => Buffer.from(text, 'utf8').toString('latin1');
