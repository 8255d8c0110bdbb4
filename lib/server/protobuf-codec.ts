import type { PdkValue } from '../pdk.ts';
import { ByteWriter } from './byte-writer.ts';

// The part of Protocol Buffers (protobuf.dev/programming-guides/encoding) that Kong's plugin-server
// protocol uses, and its framing: uint32, little-endian, of the length, and the bytes. Written by
// hand because the messages of a request are few and known, and most of them are the same for every
// request. Strings are bytes, as everywhere (lib/pdk.ts).

export class ProtobufError extends Error {
  override readonly name = 'ProtobufError';
}

/** Kong's frames are small; this bounds what garbage can make us keep. */
export const MAX_FRAME_BYTES = 1024 * 1024;
const LENGTH_BYTES = 4;
const MAX_DEPTH = 32;
const EMPTY = Buffer.alloc(0);

/** Cuts a stream into frames, whatever the pieces it arrives in. */
export class FrameReader {
  #buffer: Buffer = EMPTY;
  /** Where in it the next frame begins. */
  #start = 0;
  /** What came behind it while the next frame was not whole. */
  #chunks: Buffer[] = [];
  /** Bytes of buffer and chunks that no frame has taken yet, and that the next one takes. */
  #available = 0;
  #need = LENGTH_BYTES;

  push(chunk: Buffer): void {
    if (this.#available === 0) {
      this.#buffer = chunk;
      this.#start = 0;
    } else this.#chunks.push(chunk);
    this.#available += chunk.length;
  }

  /**
   * The bytes of the next whole frame, without its length. Throws ProtobufError on one that is too
   * large.
   */
  next(): Buffer | undefined {
    if (this.#available < this.#need) return undefined;
    if (this.#chunks.length > 0) this.#join();
    const length = this.#buffer.readUInt32LE(this.#start);
    if (length > MAX_FRAME_BYTES) throw new ProtobufError('a frame is too large');
    this.#need = LENGTH_BYTES + length;
    if (this.#available < this.#need) return undefined;
    const end = this.#start + this.#need;
    const frame = length === 0 ? EMPTY : this.#buffer.subarray(this.#start + LENGTH_BYTES, end);
    this.#start = end;
    this.#available -= this.#need;
    this.#need = LENGTH_BYTES;
    return frame;
  }

  #join(): void {
    this.#buffer = Buffer.concat([this.#buffer.subarray(this.#start), ...this.#chunks]);
    this.#start = 0;
    this.#chunks = [];
  }
}

const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

/** Walks through the fields of a message: `while (reader.next()) switch (reader.field) …`. */
export class FieldReader {
  field = 0;
  readonly #buffer: Buffer;
  #position = 0;
  #wire = VARINT;
  #number = 0;
  /** The lowest 32 bits of it, which a double loses in numbers beyond 2^53. */
  #low = 0;
  #start = 0;
  #end = 0;

  constructor(buffer: Buffer) {
    this.#buffer = buffer;
  }

  /** Throws ProtobufError on what is no message. */
  next(): boolean {
    if (this.#position >= this.#buffer.length) return false;
    const key = this.#varint();
    this.field = Math.floor(key / 8);
    this.#wire = key % 8;
    if (this.#wire === VARINT) {
      this.#number = this.#varint();
      return true;
    }
    const length = this.#wire === BYTES ? this.#varint() : lengthOfFixed(this.#wire);
    this.#start = this.#position;
    this.#end = this.#start + length;
    if (this.#end > this.#buffer.length) throw new ProtobufError('a field is cut off');
    this.#position = this.#end;
    return true;
  }

  int64(): number {
    this.#expect(VARINT);
    return this.#number;
  }

  /** A negative one is sent as ten bytes of an int64. */
  int32(): number {
    this.#expect(VARINT);
    return this.#low;
  }

  double(): number {
    this.#expect(FIXED64);
    return this.#buffer.readDoubleLE(this.#start);
  }

  bytes(): Buffer {
    this.#expect(BYTES);
    return this.#buffer.subarray(this.#start, this.#end);
  }

  text(): string {
    this.#expect(BYTES);
    return this.#buffer.toString('latin1', this.#start, this.#end);
  }

  #expect(wire: number): void {
    if (this.#wire !== wire) throw new ProtobufError('a field is of another type');
  }

  #varint(): number {
    const first = this.#buffer[this.#position];
    if (first !== undefined && first < 0x80) {
      this.#position += 1;
      return (this.#low = first);
    }
    return this.#longVarint();
  }

  #longVarint(): number {
    let value = 0;
    let scale = 1;
    this.#low = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.#buffer[this.#position++];
      if (byte === undefined) throw new ProtobufError('a number is cut off');
      value += (byte & 0x7f) * scale;
      if (shift < 32) this.#low |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
      scale *= 128;
    }
    throw new ProtobufError('a number is too long');
  }
}

function lengthOfFixed(wire: number): number {
  if (wire === FIXED64) return 8;
  if (wire === FIXED32) return 4;
  throw new ProtobufError('a field is of an unknown type');
}

/** google.protobuf.Value. Kong sends nil as a null, and an empty list as an empty struct. */
export function decodeValue(bytes: Buffer, depth = 0): unknown {
  if (depth > MAX_DEPTH) throw new ProtobufError('a value is nested too deeply');
  const reader = new FieldReader(bytes);
  let value: unknown;
  while (reader.next()) {
    if (reader.field === 2) value = reader.double();
    else if (reader.field === 3) value = reader.text();
    else if (reader.field === 4) value = reader.int64() !== 0;
    else if (reader.field === 5) value = decodeStruct(reader.bytes(), depth + 1);
    else if (reader.field === 6) value = decodeList(reader.bytes(), depth + 1);
  }
  return value;
}

function decodeList(bytes: Buffer, depth: number): unknown[] {
  const reader = new FieldReader(bytes);
  const items: unknown[] = [];
  while (reader.next()) if (reader.field === 1) items.push(decodeValue(reader.bytes(), depth));
  return items;
}

/** google.protobuf.Struct, without a prototype: the keys may be a client's. */
export function decodeStruct(bytes: Buffer, depth = 0): object {
  const reader = new FieldReader(bytes);
  const members = Object.create(null) as Record<string, unknown>;
  while (reader.next()) {
    if (reader.field !== 1) continue;
    const member = new FieldReader(reader.bytes());
    let key = '';
    let value: unknown;
    while (member.next()) {
      if (member.field === 1) key = member.text();
      else if (member.field === 2) value = decodeValue(member.bytes(), depth);
    }
    members[key] = value;
  }
  return members;
}

export type PdkMap = { readonly [name: string]: PdkValue | undefined };

/** Writes frames and messages. Begin and end pairs hand on where the length has to be filled in. */
export class ProtobufWriter extends ByteWriter {
  beginFrame(): number {
    this.reserve(LENGTH_BYTES);
    this.length += LENGTH_BYTES;
    return this.length;
  }

  endFrame(start: number): void {
    this.buffer.writeUInt32LE(this.length - start, start - LENGTH_BYTES);
  }

  varint(value: number): void {
    let rest = value;
    while (rest >= 0x80) {
      this.byte((rest % 0x80) | 0x80);
      rest = Math.floor(rest / 0x80);
    }
    this.byte(rest);
  }

  intField(field: number, value: number): void {
    this.varint(field * 8 + VARINT);
    this.varint(value);
  }

  textField(field: number, text: string): void {
    this.varint(field * 8 + BYTES);
    this.varint(text.length);
    this.text(text);
  }

  bytesField(field: number, bytes: Uint8Array): void {
    this.varint(field * 8 + BYTES);
    this.varint(bytes.length);
    this.bytes(bytes);
  }

  beginMessage(field: number): number {
    this.varint(field * 8 + BYTES);
    this.byte(0);
    return this.length;
  }

  /** Most lengths fit the byte that was left for them; otherwise the content moves to make room. */
  endMessage(start: number): void {
    const end = this.length;
    const length = end - start;
    if (length < 0x80) {
      this.buffer[start - 1] = length;
      return;
    }
    this.length = start - 1;
    const content = this.buffer.subarray(start, end);
    const moved = Buffer.from(content);
    this.varint(length);
    this.bytes(moved);
  }

  /**
   * google.protobuf.Value. Throws TypeError on what arrives in Lua as something else: null as text,
   * false as nil.
   */
  value(value: PdkValue | undefined, depth = 0): void {
    if (depth > MAX_DEPTH) throw new TypeError('a value is nested too deeply');
    if (typeof value === 'string') this.textField(3, value);
    else if (value === true) this.intField(4, 1);
    else if (typeof value === 'number') {
      this.varint(2 * 8 + FIXED64);
      this.reserve(8);
      this.length = this.buffer.writeDoubleLE(value, this.length);
    } else if (value instanceof Uint8Array) this.bytesField(3, value);
    else if (Array.isArray(value)) {
      const start = this.beginMessage(6);
      this.list(value as readonly PdkValue[], depth + 1);
      this.endMessage(start);
    } else if (typeof value === 'object' && value !== null) {
      const start = this.beginMessage(5);
      this.struct(value as PdkMap, depth + 1);
      this.endMessage(start);
    } else {
      throw new TypeError(`the value ${String(value)} cannot be sent to Kong`);
    }
  }

  list(items: readonly PdkValue[], depth = 0): void {
    for (const item of items) {
      const start = this.beginMessage(1);
      this.value(item, depth);
      this.endMessage(start);
    }
  }

  struct(members: PdkMap, depth = 0): void {
    for (const name in members) {
      const value = members[name];
      if (value === undefined) continue;
      const start = this.beginMessage(1);
      this.textField(1, name);
      const valueStart = this.beginMessage(2);
      this.value(value, depth);
      this.endMessage(valueStart);
      this.endMessage(start);
    }
  }
}
