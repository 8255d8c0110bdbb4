import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { FieldReader, FrameReader, ProtobufWriter } from '../../lib/server/protobuf-codec.ts';

/** Kong's side of one ProtoBuf connection, a frame at a time as Kong reads them. */
export class KongLine {
  readonly socket: Socket;
  readonly #reader = new FrameReader();
  readonly #out = new ProtobufWriter();
  #sequence = 1;
  #wake: (() => void) | undefined;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('error', () => undefined);
    for (const event of ['end', 'close']) socket.on(event, () => this.#wake?.());
    socket.on('data', (chunk: Buffer) => {
      this.#reader.push(chunk);
      this.#wake?.();
    });
  }

  static async open(path: string): Promise<KongLine> {
    const socket = connect(path);
    await once(socket, 'connect');
    return new KongLine(socket);
  }

  get sequence(): number {
    return this.#sequence;
  }

  /** The next frame; rejects with "closed" when the server has closed the connection. */
  async frame(): Promise<Buffer> {
    for (;;) {
      const frame = this.#reader.next();
      if (frame) return frame;
      if (this.socket.readableEnded || this.socket.destroyed) throw new Error('closed');
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  /** The next frame, which must be text. */
  async name(): Promise<string> {
    return (await this.frame()).toString('latin1');
  }

  send(content: Uint8Array): void {
    this.#out.begin();
    const start = this.#out.beginFrame();
    this.#out.bytes(content);
    this.#out.endFrame(start);
    this.socket.write(this.#out.copy());
  }

  /** An answer of one string. */
  answer(text: string): void {
    this.send(Buffer.concat([Buffer.of(0x0a, text.length), Buffer.from(text, 'latin1')]));
  }

  /** Sends an RpcCall; its fields may come in either order. */
  call(command: number, fill: (out: ProtobufWriter) => void, isSequenceLast = false): void {
    this.#sequence += 1;
    this.#out.begin();
    if (!isSequenceLast) this.#out.intField(1, this.#sequence);
    const start = this.#out.beginMessage(command);
    fill(this.#out);
    this.#out.endMessage(start);
    if (isSequenceLast) this.#out.intField(1, this.#sequence);
    this.send(this.#out.copy());
  }

  handle(instanceId: number, phase = 'access', isSequenceLast = false): void {
    const fill = (out: ProtobufWriter) => {
      out.textField(2, phase);
      out.intField(1, instanceId);
    };
    this.call(36, fill, isSequenceLast);
  }

  async start(config: object, name = 'test-plugin'): Promise<number> {
    this.call(33, (out) => {
      out.bytesField(2, Buffer.from(JSON.stringify(config)));
      out.textField(1, name);
    });
    const reader = new FieldReader(await this.frame());
    let [sequence, id] = [0, 0];
    while (reader.next()) {
      if (reader.field === 1) sequence = reader.int64();
      else if (reader.field === 33) {
        const status = new FieldReader(reader.bytes());
        while (status.next()) if (status.field === 2) id = status.int32();
      }
    }
    if (sequence !== this.#sequence) throw new Error('wrong sequence');
    return id;
  }

  /** The sequence of the next RpcReturn. */
  async returned(): Promise<number> {
    const reader = new FieldReader(await this.frame());
    let sequence = 0;
    while (reader.next()) if (reader.field === 1) sequence = reader.int64();
    return sequence;
  }

  /** Runs a request to its end as Kong would, and returns the names of its calls. */
  async request(instanceId: number, answers: Record<string, string> = {}): Promise<string[]> {
    this.handle(instanceId);
    const names: string[] = [];
    for (;;) {
      const name = await this.name();
      if (name === '') break;
      names.push(name);
      await this.frame();
      if (name === 'kong.response.exit') {
        this.socket.destroy();
        return names;
      }
      const answer = answers[name];
      if (answer === undefined) this.send(Buffer.alloc(0));
      else this.answer(answer);
    }
    if ((await this.returned()) !== this.#sequence) throw new Error('wrong sequence');
    return names;
  }

  async close(): Promise<void> {
    if (this.socket.closed) return;
    this.socket.destroy();
    await once(this.socket, 'close');
  }
}
