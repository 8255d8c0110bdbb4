import type { Socket } from 'node:net';
import type { Host } from './host.ts';
import { encodeClosed, encodeStarted } from './protobuf-calls.ts';
import { FieldReader, FrameReader, MAX_FRAME_BYTES, ProtobufError } from './protobuf-codec.ts';
import { ProtobufEvent } from './protobuf-event.ts';
import type { Transport } from './transport.ts';

/** Fields of RpcCall (kong/include/kong/pluginsocket.proto). */
const SEQUENCE = 1;
const START_INSTANCE = 33;
const CLOSE_INSTANCE = 35;
const HANDLE_EVENT = 36;

/**
 * ProtoBuf:1, for Kong 3.8 and later: these answer 500 where something fails, and let a batch go
 * out in one write.
 */
export class ProtobufTransport implements Transport {
  readonly #host: Host;

  constructor(host: Host) {
    this.#host = host;
  }

  /** A length; see the other transport for the one it cannot be mistaken for. */
  accepts(head: Buffer): boolean {
    const length = head.readUInt32LE(0);
    return length > 0 && length <= MAX_FRAME_BYTES;
  }

  /** There is no way to ask: what comes unasked would be taken for the answer to a start. */
  serve(socket: Socket, first: Buffer): undefined {
    const connection = new Connection(socket, this.#host);
    socket.on('data', (chunk) => connection.receive(chunk));
    socket.on('close', () => connection.closed());
    connection.receive(first);
  }
}

class Connection {
  readonly #socket: Socket;
  readonly #host: Host;
  readonly #frames = new FrameReader();
  #event: ProtobufEvent | undefined;
  /** Answers to the acts of a request that is over. */
  #unread = 0;
  /**
   * Whether the host is kept from stopping because of them: closing with answers unread is a 500
   * (Kong's rpc/pb_rpc.lua).
   */
  #isSettling = false;
  /** Kong closes a connection after an exit. */
  #isClosing = false;

  constructor(socket: Socket, host: Host) {
    this.#socket = socket;
    this.#host = host;
  }

  receive(chunk: Buffer): void {
    this.#frames.push(chunk);
    try {
      for (;;) {
        const frame = this.#frames.next();
        if (frame === undefined) return;
        this.#handle(frame);
      }
    } catch (err) {
      if (!(err instanceof ProtobufError)) throw err;
      this.#host.log.error({ event: 'garbage', reason: err.message }, 'closed a connection');
      this.#socket.destroy();
    }
  }

  closed(): void {
    this.#event?.disconnected();
    this.#settled();
  }

  send(frames: Buffer): void {
    if (this.#socket.writable) this.#socket.write(frames);
  }

  settle(answers: number, isClosing: boolean): void {
    this.#event = undefined;
    this.#unread = answers;
    this.#isClosing = isClosing;
    if (this.#socket.destroyed || (answers === 0 && !isClosing)) return;
    this.#isSettling = true;
    this.#host.began();
  }

  #handle(frame: Buffer): void {
    if (this.#event?.isAsking) return this.#event.answer(frame);
    if (this.#unread > 0) {
      this.#unread -= 1;
      if (this.#unread === 0 && !this.#isClosing) this.#settled();
      return;
    }
    if (this.#event) throw new ProtobufError('a call inside a request');
    this.#handleCall(frame);
  }

  #settled(): void {
    if (!this.#isSettling) return;
    this.#isSettling = false;
    this.#host.ended();
  }

  #handleCall(frame: Buffer): void {
    const reader = new FieldReader(frame);
    let sequence = 0;
    let command = 0;
    let body: Buffer = frame;
    while (reader.next()) {
      if (reader.field === SEQUENCE) sequence = reader.int64();
      else {
        command = reader.field;
        body = reader.bytes();
      }
    }
    if (command === HANDLE_EVENT) this.#handleEvent(sequence, new FieldReader(body));
    else if (command === START_INSTANCE) this.#startInstance(sequence, new FieldReader(body));
    else if (command === CLOSE_INSTANCE) this.#closeInstance(sequence, new FieldReader(body));
    else throw new ProtobufError('an unknown call');
  }

  #handleEvent(sequence: number, reader: FieldReader): void {
    let id = 0;
    let phase = '';
    while (reader.next()) {
      if (reader.field === 1) id = reader.int32();
      else if (reader.field === 2) phase = reader.text();
    }
    const instance = this.#host.instances.get(id);
    // A connection that is closed before anything was written to it makes Kong start the instance
    // and then run the request again. When we drain, it does so by another connection, at the
    // server after us. Only here: a start that meets a closed connection is a 500
    // (Kong's rpc/pb_rpc.lua).
    if (!instance || this.#host.isDraining) return void this.#socket.end();
    const event = new ProtobufEvent(this.#host, this, sequence);
    this.#event = event;
    if (phase === 'access') void event.run(instance);
    else void event.run(UNKNOWN_PHASE);
  }

  /**
   * Only closing refuses an instance: Kong then answers 500 and tries again with the next request.
   */
  #startInstance(sequence: number, reader: FieldReader): void {
    const { plugin, instances, log } = this.#host;
    let name = '';
    let config: Buffer = Buffer.alloc(0);
    while (reader.next()) {
      if (reader.field === 1) name = reader.text();
      else if (reader.field === 2) config = reader.bytes();
    }
    if (name !== plugin.name) {
      log.error(
        { event: 'refused', reason: `this server runs ${plugin.name} only` },
        'refused a call',
      );
      return void this.#socket.end();
    }
    try {
      const id = instances.start(config, 'int32') as number;
      this.send(encodeStarted(sequence, plugin.name, id));
    } catch {
      this.#socket.end(); // the log has it
    }
  }

  #closeInstance(sequence: number, reader: FieldReader): void {
    while (reader.next()) if (reader.field === 1) this.#host.instances.close(reader.int32());
    this.send(encodeClosed(sequence));
  }
}

/** Ends in 503. Closing would make Kong run the same event again, without end. */
const UNKNOWN_PHASE = {
  access: (): Promise<void> => Promise.reject(new Error('the plugin has no such phase')),
};
