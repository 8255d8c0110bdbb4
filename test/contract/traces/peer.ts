import { encode } from '@msgpack/msgpack';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Json } from '../../support/gateway/entities.ts';
import { type Exchange, type Frame, eventOf, methodOf } from './trace.ts';
import { UnixServer } from './unix-server.ts';
import { type Wire, parseWire } from './wire.ts';

/** A request as the stand-in sent it. */
export interface Received {
  readonly bytes: Buffer;
  readonly messageId: number;
  readonly method: string;
  readonly argument: Wire;
  /** The recorded request that it stands for. */
  readonly expected: Exchange;
}

/** Plays the recorded plugin server: answers each request of the stand-in as the trace does. */
export class Peer {
  readonly received: Received[] = [];
  readonly unexpected: string[] = [];
  #server: UnixServer | undefined;
  #script: Exchange[] = [];

  static async listen(path: string): Promise<Peer> {
    const peer = new Peer();
    peer.#server = await UnixServer.listen(path, (socket) => peer.#serve(socket));
    return peer;
  }

  play(script: readonly Exchange[]): void {
    this.#script = [...script];
    this.received.length = 0;
  }

  /** Recorded requests that the stand-in did not make. */
  get left(): readonly Exchange[] {
    return this.#script;
  }

  /** Ends as a killed process does. */
  async die(): Promise<void> {
    await this.#server?.die();
  }

  async close(): Promise<void> {
    await this.#server?.close();
  }

  #serve(socket: Socket): void {
    let pending = Buffer.alloc(0);
    socket.on('data', (chunk) => {
      pending = Buffer.concat([pending, chunk]);
      const message = wholeMessage(pending);
      if (message === undefined) return;
      const bytes = pending;
      pending = Buffer.alloc(0);
      this.#answer(socket, bytes, message).catch((error: unknown) => {
        this.unexpected.push(String(error));
        socket.destroy();
      });
    });
  }

  async #answer(socket: Socket, bytes: Buffer, message: Wire): Promise<void> {
    const { messageId, method, argument } = parseRequest(message);
    const expected = this.#take(method, argument);
    if (expected === undefined) {
      this.unexpected.push(`${method} was not recorded`);
      socket.destroy();
      return;
    }
    this.received.push({ bytes, messageId, method, argument, expected });
    const { reply } = expected;
    if (reply === undefined) return void socket.destroy();
    // Delays of the recorded plugin, so that concurrent requests overlap as they did.
    if (reply.afterMs > 15) await sleep(reply.afterMs);
    socket.write(replyBytes(reply, messageId));
  }

  /** The next recorded request of that method, for a step the next one of its event. */
  #take(method: string, argument: Wire): Exchange | undefined {
    const event = wireMember(argument, 'EventId');
    const at = this.#script.findIndex((candidate) => {
      if (methodOf(candidate) !== method) return false;
      return event === undefined || eventOf(candidate) === event;
    });
    return at === -1 ? undefined : this.#script.splice(at, 1)[0];
  }
}

/** Until Kong's request is whole: it writes one message at a time. */
function wholeMessage(bytes: Buffer): Wire | undefined {
  try {
    return parseWire(bytes);
  } catch (error) {
    if (error instanceof RangeError && error.message === 'the message is cut off') return undefined;
    throw error;
  }
}

function parseRequest(message: Wire): { messageId: number; method: string; argument: Wire } {
  if (message.type !== 'array') throw new TypeError('a request is an array');
  const [kind, id, method, list] = message.value;
  if (kind?.type !== 'integer' || kind.value !== 0) throw new TypeError('a request begins with 0');
  if (id?.type !== 'integer' || method?.type !== 'str' || list?.type !== 'array') {
    throw new TypeError('a request is [0, id, method, [argument]]');
  }
  const argument = list.value[0] ?? { type: 'nil' };
  return { messageId: id.value, method: method.value.toString('latin1'), argument };
}

function wireMember(value: Wire, name: string): number | string | undefined {
  if (value.type !== 'map') return undefined;
  const found = value.value.find(
    ([key]) => key.type === 'str' && key.value.toString() === name,
  )?.[1];
  return found?.type === 'integer' ? found.value : undefined;
}

/** The recorded bytes, with the id of the message that is being answered. */
function replyBytes(reply: NonNullable<Exchange['reply']>, messageId: number): Buffer {
  const [, recordedId, error, result] = reply.frame;
  if (reply.hex === undefined) return Buffer.from(encode([1, messageId, error, result]));
  const bytes = Buffer.from(reply.hex, 'hex');
  const rest = bytes.subarray(2 + integerSize(recordedId));
  return Buffer.concat([bytes.subarray(0, 2), Buffer.from(encode(messageId)), rest]);
}

export const integerSize = (value: number): number => encode(value).length;

function answer(result: Json): NonNullable<Exchange['reply']> {
  const frame: Frame = [1, 0, null, result];
  return { frame, afterMs: 0 };
}

const request = (method: string, argument: Json): Exchange['request'] => ({
  frame: [0, 0, method, [argument]],
  size: 0,
});

/**
 * What must have happened before most traces begin, unrecorded: an instance starts and an event passes, after it
 * authenticated the consumer if one is given.
 */
export function earlierEvent(instance: Json, consumer?: Json): Exchange[] {
  const event = (data: Json): NonNullable<Exchange['reply']> => answer({ Data: data, EventId: 0 });
  const authenticate = { Method: 'kong.client.authenticate', Args: [consumer ?? null, null] };
  const start = { request: request('plugin.StartInstance', {}), reply: answer({ Id: instance }) };
  const handle = request('plugin.HandleEvent', {});
  if (consumer === undefined) return [start, { request: handle, reply: event('ret') }];
  const step = request('plugin.StepCredential', { EventId: 0 });
  return [
    start,
    { request: handle, reply: event(authenticate) },
    { request: step, reply: event('ret') },
  ];
}
