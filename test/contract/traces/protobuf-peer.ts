import { once } from 'node:events';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import { type Item, fieldOf, messageOf } from './protobuf-trace.ts';
import { restored } from './protobuf-restore.ts';
import { canonical, frameOf, parseFields, varint, varintValue } from './protobuf-wire.ts';
import { UnixServer } from './unix-server.ts';

/** Plays the recorded plugin server over ProtoBuf:1: each connection of the trace by a connection of Kong's. */
export class ProtobufPeer {
  readonly faults: string[] = [];
  /** Configurations of the starts, own and recorded. */
  readonly configs: { readonly own: string; readonly recorded: string }[] = [];
  #server: UnixServer | undefined;
  readonly #conversations = new Map<Socket, FrameQueue>();
  /** Recorded connections that no connection of Kong plays yet. */
  #waiting: Item[][] = [];
  /** Ids for instances that must be known before the trace begins. */
  #ids: number[] | undefined;

  static async listen(path: string): Promise<ProtobufPeer> {
    const peer = new ProtobufPeer();
    peer.#server = await UnixServer.listen(path, (socket) => peer.#accept(socket));
    return peer;
  }

  /** Starts instances with these ids and lets every event pass. */
  prepare(ids: readonly number[]): void {
    this.#ids = [...ids];
  }

  /** From now on the trace. */
  play(items: readonly Item[]): void {
    this.#ids = undefined;
    const connections = [...new Set(items.map(({ conn }) => conn))].filter(
      (conn) => conn !== undefined,
    );
    this.#waiting = connections.map((conn) => items.filter((item) => item.conn === conn));
    for (const queue of this.#conversations.values()) this.#next(queue);
  }

  /** Resolves when Kong has sent everything recorded, or sends nothing more. */
  async finished(): Promise<void> {
    for (let tries = 0; tries < 100 && this.#left().length > 0; tries++) await sleep(10);
    for (const item of this.#left()) this.faults.push(`not sent: ${JSON.stringify(item.decoded)}`);
  }

  #left(): Item[] {
    const items = [
      ...this.#waiting,
      ...[...this.#conversations.values()].map((queue) => queue.items),
    ];
    return items.flat().filter(({ dir }) => dir === 'kong>server');
  }

  async close(): Promise<void> {
    await this.#server?.close();
  }

  #accept(socket: Socket): void {
    const queue = new FrameQueue(socket);
    this.#conversations.set(socket, queue);
    if (this.#ids === undefined) this.#next(queue);
    else void this.#prepareOn(queue, this.#ids);
  }

  async #prepareOn(queue: FrameQueue, ids: number[]): Promise<void> {
    while (this.#ids === ids) {
      const call = await queue.peek();
      if (call === undefined || this.#ids !== ids) return;
      queue.take();
      const fields = parseFields(call) ?? [];
      const sequence = varintValue(
        fields.find(({ number }) => number === 1)?.payload ?? Buffer.of(0),
      );
      const isStart = fields.some(({ number }) => number === 33);
      const id = Buffer.concat([
        Buffer.of(0x10),
        varint(BigInt.asUintN(64, BigInt(isStart ? (ids.shift() ?? 0) : 0))),
      ]);
      const status = isStart
        ? Buffer.concat([Buffer.of(0x8a, 0x02, id.length), id])
        : Buffer.alloc(0);
      const reply = Buffer.concat([Buffer.of(0x08), varint(sequence), status]);
      queue.socket.write(
        Buffer.concat([isStart ? Buffer.alloc(0) : frameOf(Buffer.alloc(0)), frameOf(reply)]),
      );
    }
  }

  /** Lets a connection play the next recorded one as soon as Kong uses it. */
  #next(queue: FrameQueue): void {
    this.#playNext(queue).catch((error: unknown) => {
      this.faults.push(String(error));
      queue.socket.destroy();
    });
  }

  async #playNext(queue: FrameQueue): Promise<void> {
    const frame = await queue.peek();
    if (frame === undefined) return;
    const items = this.#waiting.shift();
    if (items === undefined) this.faults.push(`not recorded: ${frame.toString('hex')}`);
    queue.items = items ?? [];
    await this.#playItems(queue);
  }

  async #playItems(queue: FrameQueue): Promise<void> {
    const sequence = { recorded: 0n, own: 0n };
    for (let last = 0; ;) {
      const item = queue.items[0];
      if (item === undefined) return;
      if (item.dir === 'server>kong') {
        const batch = queue.items.filter(
          ({ write, dir }) => dir === 'server>kong' && write === item.write,
        );
        if (item.ms - last > 15) await sleep(Math.min(item.ms - last, 2500));
        queue.items = queue.items.slice(batch.length);
        queue.socket.write(Buffer.concat(batch.map((one) => withSequence(one, sequence))));
      } else if (item.dir === 'kong>server') {
        const frame = await queue.next();
        if (frame === undefined) return;
        queue.items = queue.items.slice(1);
        this.#compare(frame, item, sequence);
        // A call without anything behind it: the server closed instead of answering.
        if (queue.items.length === 0 && messageOf(item) === 'RpcCall') queue.socket.destroy();
      } else {
        queue.items = queue.items.slice(1);
        // The trace shows only Kong's half of a close that the server began.
        const isShared = item.event === 'closed-by-kong' && item.pendingAnswers === undefined;
        if (isShared && item.ms - last < 20) queue.socket.end();
        // What the recorded server said after Kong had given up, it says then here too.
        else if (isShared && queue.items.length > 0) await once(queue.socket, 'close');
        if (item.event === 'server-closes') {
          if (item.ms - last > 15) await sleep(Math.min(item.ms - last, 2500));
          queue.socket.destroy();
        }
      }
      last = item.ms;
    }
  }

  #compare(frame: Buffer, item: Item, sequence: { recorded: bigint; own: bigint }): void {
    const shown = JSON.stringify(item.decoded);
    if (messageOf(item) !== 'RpcCall') {
      const recorded =
        item.hex === undefined ? undefined : Buffer.from(item.hex, 'hex').subarray(4);
      const isSame =
        recorded === undefined
          ? frame.length + 4 === item.size
          : canonical(frame) === canonical(recorded) ||
            (isRequestId(frame) && isRequestId(recorded));
      if (!isSame)
        this.faults.push(`${frame.toString('latin1')} (${frame.toString('hex')}) for ${shown}`);
      return;
    }
    sequence.recorded = BigInt(Number(fieldOf(item, 'sequence')));
    const fields = parseFields(frame) ?? [];
    const command = fields.find(({ number }) => number !== 1);
    sequence.own = varintValue(fields.find(({ number }) => number === 1)?.payload ?? Buffer.of(0));
    const name = { 33: 'cmd_start_instance', 35: 'cmd_close_instance', 36: 'cmd_handle_event' }[
      command?.number ?? 0
    ];
    const recorded = name === undefined ? undefined : fieldOf(item, name);
    if (command === undefined || recorded === undefined)
      return void this.faults.push(`${String(name)} for ${shown}`);
    this.#compareCommand(command.payload, recorded, shown);
  }

  #compareCommand(payload: Buffer, recorded: unknown, shown: string): void {
    const {
      config,
      instance_id: id,
      name,
      event_name: event,
    } = recorded as { [field: string]: unknown };
    const fields = parseFields(payload) ?? [];
    const [first, second] = [1, 2].map(
      (number) => fields.find((field) => field.number === number)?.payload,
    );
    if (typeof config === 'string') {
      this.configs.push({ own: second?.toString('utf8') ?? '', recorded: config });
      if (first?.toString() !== name) this.faults.push(`name of ${shown}`);
      return;
    }
    const own = Number(BigInt.asIntN(64, varintValue(first ?? Buffer.of(0))));
    if (own !== (id ?? 0) || second?.toString() !== event)
      this.faults.push(`instance ${String(own)} for ${shown}`);
  }
}

/** A String of 32 hexadecimal digits: nginx's $request_id. */
const isRequestId = (frame: Buffer): boolean => /^\n [0-9a-f]{32}$/.test(frame.toString('latin1'));

/** The recorded bytes; a RpcReturn with the sequence of the call it answers. */
function withSequence(item: Item, sequence: { recorded: bigint; own: bigint }): Buffer {
  const bytes = item.hex === undefined ? restored(item) : Buffer.from(item.hex, 'hex');
  if (messageOf(item) !== 'RpcReturn') return bytes;
  const fields = parseFields(bytes.subarray(4)) ?? [];
  const parts = fields.map(({ number, type, payload }) => {
    const tag = varint(BigInt(number * 8 + type));
    if (number !== 1)
      return Buffer.concat([tag, ...(type === 2 ? [varint(BigInt(payload.length))] : []), payload]);
    const difference = varintValue(payload) - sequence.recorded;
    // Scenarios with a wrong sequence have one more, or always 1.
    return Buffer.concat([
      tag,
      varint(difference < 0n ? varintValue(payload) : sequence.own + difference),
    ]);
  });
  return frameOf(Buffer.concat(parts));
}

/** The whole frames that Kong sent on a connection. */
class FrameQueue {
  readonly socket: Socket;
  items: Item[] = [];
  #bytes = Buffer.alloc(0);
  #ended = false;
  #wake: (() => void) | undefined;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk]);
      this.#wake?.();
    });
    const end = (): void => {
      this.#ended = true;
      this.#wake?.();
    };
    socket.on('end', end);
    socket.on('close', end);
  }

  /** The next frame, left in the queue; undefined at the end of the connection. */
  async peek(): Promise<Buffer | undefined> {
    for (;;) {
      const length = this.#bytes.length < 4 ? Infinity : this.#bytes.readUInt32LE();
      if (this.#bytes.length >= 4 + length) return Buffer.from(this.#bytes.subarray(4, 4 + length));
      if (this.#ended) return undefined;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  take(): void {
    this.#bytes = this.#bytes.subarray(4 + this.#bytes.readUInt32LE());
  }

  async next(): Promise<Buffer | undefined> {
    const frame = await this.peek();
    if (frame !== undefined) this.take();
    return frame;
  }
}
