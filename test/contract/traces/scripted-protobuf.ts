import type { Socket } from 'node:net';
import { FrameReader } from '../../../lib/server/protobuf-codec.ts';
import { frameOf, parseFields, varint, varintValue } from './protobuf-wire.ts';
import { UnixServer } from './unix-server.ts';

const [SEQUENCE, START, CLOSE] = [1, 33, 35];

/** A plugin server over ProtoBuf that lets every event pass, or closes on it as on an instance it does not know. */
export class ScriptedProtobuf {
  started = 0;
  closesAfterEvents = false;
  /** Asked at each event. Default: the ids that this server gave. */
  isKnown: (id: number) => boolean = (id) => this.#ids.has(id);
  readonly #ids = new Set<number>();
  readonly #firstId: number;
  #server: UnixServer | undefined;

  private constructor(firstId: number) {
    this.#firstId = firstId;
  }

  static async listen(path: string, firstId: number): Promise<ScriptedProtobuf> {
    const server = new ScriptedProtobuf(firstId);
    server.#server = await UnixServer.listen(path, (socket) => server.#serve(socket));
    return server;
  }

  async close(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    await server?.close();
  }

  #serve(socket: Socket): void {
    const reader = new FrameReader();
    socket.on('data', (chunk: Buffer) => {
      reader.push(chunk);
      for (let frame = reader.next(); frame !== undefined; frame = reader.next()) {
        this.#answer(socket, frame);
      }
    });
  }

  #answer(socket: Socket, call: Buffer): void {
    const fields = parseFields(call) ?? [];
    const sequence = fields.find(({ number }) => number === SEQUENCE)?.payload ?? Buffer.of(0);
    const command = fields.find(({ number }) => number !== SEQUENCE);
    const returned = Buffer.concat([Buffer.of(0x08), varint(varintValue(sequence))]);
    if (command?.number === START) {
      const id = this.#firstId + this.started++;
      this.#ids.add(id);
      const status = Buffer.concat([Buffer.of(0x10), varint(BigInt(id))]);
      const parts = [returned, Buffer.of(0x8a, 0x02, status.length), status];
      socket.write(frameOf(Buffer.concat(parts)));
    } else if (command?.number === CLOSE) {
      socket.write(frameOf(returned));
    } else {
      const id = (parseFields(command?.payload ?? Buffer.alloc(0)) ?? []).find(
        ({ number }) => number === 1,
      );
      if (!this.isKnown(Number(varintValue(id?.payload ?? Buffer.of(0))))) return void socket.end();
      socket.write(Buffer.concat([frameOf(Buffer.alloc(0)), frameOf(returned)]));
      if (this.closesAfterEvents) socket.end();
    }
  }
}
