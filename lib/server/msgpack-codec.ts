import type { PdkValue } from '../pdk.ts';
import { ByteWriter } from './byte-writer.ts';

// MessagePack (github.com/msgpack/msgpack/blob/master/spec.md) as Kong's plugin-server protocol
// uses it: strings are bytes (Lua's are), nil is an absent value, and messages follow each other on
// a stream without any framing. Libraries decode strings as UTF-8, refuse a map key named
// `__proto__`, and give up on a message that arrives in two pieces: each of these would let a
// client's request end the connection, and Kong lets such a request pass.

export class MsgpackError extends Error {
  override readonly name = 'MsgpackError';
}

/** Kong's messages are small; this bounds what garbage can make us keep. */
const MAX_MESSAGE_BYTES = 1024 * 1024;
const MAX_DEPTH = 32;

/** What `Unpacker.next` returns while a message is incomplete. */
export const INCOMPLETE = Symbol('incomplete');

/**
 * Thrown inside the decoder only, so it needs no stack. `need` is how many bytes must be there
 * before it is worth trying again.
 */
class Shortage {
  need = 0;
}
const SHORTAGE = new Shortage();

/** Decodes a stream of messages, whatever the pieces it arrives in. */
export class Unpacker {
  #chunks: Buffer[] = [];
  #available = 0;
  #need = 1;

  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#available += chunk.length;
  }

  /**
   * The next whole message, or INCOMPLETE. Strings are byte strings, nil is `undefined`, maps have
   * no prototype. Throws MsgpackError on what is not MessagePack or too large: the stream is then
   * of no further use.
   */
  next(): unknown {
    if (this.#available < this.#need) return INCOMPLETE;
    const buffer = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks);
    const cursor = new Cursor(buffer);
    try {
      const value = cursor.read(0);
      const rest = buffer.subarray(cursor.position);
      this.#keep(rest, 1);
      return value;
    } catch (thrown) {
      if (thrown !== SHORTAGE) throw thrown;
      if (SHORTAGE.need > MAX_MESSAGE_BYTES) throw new MsgpackError('a message is too large');
      this.#keep(buffer, SHORTAGE.need);
      return INCOMPLETE;
    }
  }

  #keep(rest: Buffer, need: number): void {
    this.#chunks = rest.length > 0 ? [rest] : [];
    this.#available = rest.length;
    this.#need = need;
  }
}

class Cursor {
  position = 0;
  readonly #buffer: Buffer;

  constructor(buffer: Buffer) {
    this.#buffer = buffer;
  }

  read(depth: number): unknown {
    if (depth > MAX_DEPTH) throw new MsgpackError('a message is nested too deeply');
    const head = this.#uint(1);
    if (head < 0x80) return head;
    if (head >= 0xe0) return head - 0x100;
    if (head < 0x90) return this.#map(head & 0x0f, depth);
    if (head < 0xa0) return this.#array(head & 0x0f, depth);
    if (head < 0xc0) return this.#string(head & 0x1f);
    return this.#readMarked(head, depth);
  }

  #readMarked(head: number, depth: number): unknown {
    switch (head) {
      case 0xc0:
        return undefined;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return Uint8Array.from(this.#bytes(this.#uint(1 << (head - 0xc4))));
      case 0xca:
        return this.#bytes(4).readFloatBE(0);
      case 0xcb:
        return this.#bytes(8).readDoubleBE(0);
      case 0xcc:
      case 0xcd:
      case 0xce:
        return this.#uint(1 << (head - 0xcc));
      case 0xcf:
        return Number(this.#bytes(8).readBigUInt64BE(0));
      case 0xd0:
      case 0xd1:
      case 0xd2:
        return this.#int(1 << (head - 0xd0));
      case 0xd3:
        return Number(this.#bytes(8).readBigInt64BE(0));
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.#string(this.#uint(1 << (head - 0xd9)));
      case 0xdc:
      case 0xdd:
        return this.#array(this.#uint(2 << (head - 0xdc)), depth);
      case 0xde:
      case 0xdf:
        return this.#map(this.#uint(2 << (head - 0xde)), depth);
      default:
        throw new MsgpackError(`a value of type 0x${head.toString(16)} is not understood`);
    }
  }

  #advance(length: number): number {
    const start = this.position;
    if (start + length > this.#buffer.length) {
      SHORTAGE.need = start + length;
      throw SHORTAGE;
    }
    this.position = start + length;
    return start;
  }

  #bytes(length: number): Buffer {
    const start = this.#advance(length);
    return this.#buffer.subarray(start, start + length);
  }

  #uint(length: number): number {
    return this.#buffer.readUIntBE(this.#advance(length), length);
  }

  #int(length: number): number {
    return this.#buffer.readIntBE(this.#advance(length), length);
  }

  #string(length: number): string {
    const start = this.#advance(length);
    return this.#buffer.toString('latin1', start, start + length);
  }

  #array(length: number, depth: number): unknown[] {
    const items: unknown[] = [];
    for (let i = 0; i < length; i++) items.push(this.read(depth + 1));
    return items;
  }

  #map(size: number, depth: number): object {
    const members = Object.create(null) as Record<string, unknown>;
    for (let i = 0; i < size; i++) {
      const key = this.read(depth + 1);
      if (typeof key !== 'string' && typeof key !== 'number' && typeof key !== 'boolean') {
        throw new MsgpackError('a map has a key that is no scalar');
      }
      members[String(key)] = this.read(depth + 1);
    }
    return members;
  }
}

const out = new ByteWriter();

/** `[2, label, nil]`: what a server says without being asked (Kong's rpc/mp_rpc.lua). */
export function packNotification(label: string): Buffer {
  out.begin();
  out.byte(0x93);
  out.byte(0x02);
  packValue(label, 0);
  out.byte(0xc0);
  return out.copy();
}

/**
 * `[1, id, error, result]`, the answer to a call of Kong's. Throws TypeError on what Lua cannot
 * receive.
 */
export function packReply(
  id: number,
  error: PdkValue | undefined,
  result: PdkValue | undefined,
): Buffer {
  out.begin();
  out.byte(0x94);
  out.byte(0x01);
  packNumber(id);
  for (const value of [error, result]) {
    if (value === undefined) out.byte(0xc0);
    else packValue(value, 0);
  }
  return out.copy();
}

function packValue(value: PdkValue | undefined, depth: number): void {
  if (depth > MAX_DEPTH) throw new TypeError('a value is nested too deeply');
  if (typeof value === 'string') packString(value);
  else if (typeof value === 'number') packNumber(value);
  else if (typeof value === 'boolean') out.byte(value ? 0xc3 : 0xc2);
  else if (value instanceof Uint8Array) {
    packHead(value.length, 0, -1, [0xc5, 0xc6]);
    out.bytes(value);
  } else if (Array.isArray(value)) packList(value, depth);
  else if (typeof value === 'object' && value !== null) packMap(value as PdkMap, depth);
  // A nil among arguments would cut the list short (Kong's rpc/mp_rpc.lua), and Lua has nothing like
  // the rest.
  else throw new TypeError(`a value of type ${typeof value} cannot be sent to Kong`);
}

type PdkMap = { readonly [name: string]: PdkValue | undefined };

function packList(items: readonly PdkValue[], depth: number): void {
  packHead(items.length, 0x90, 15, [0xdc, 0xdd]);
  for (const item of items) packValue(item, depth + 1);
}

function packMap(members: PdkMap, depth: number): void {
  const entries = Object.entries(members).filter(([, value]) => value !== undefined);
  packHead(entries.length, 0x80, 15, [0xde, 0xdf]);
  for (const [name, value] of entries) {
    packString(name);
    packValue(value, depth + 1);
  }
}

/** No str8, as Kong's own packer. */
function packString(text: string): void {
  packHead(text.length, 0xa0, 31, [0xda, 0xdb]);
  out.text(text);
}

function packNumber(value: number): void {
  if (!Number.isInteger(value) || value < -32 || value > 0xffffffff) {
    out.byte(0xcb);
    out.reserve(8);
    out.length = out.buffer.writeDoubleBE(value, out.length);
  } else if (value < 0x80) out.byte(value & 0xff);
  else if (value <= 0xffff) packSized(0xcd, value, 2);
  else packSized(0xce, value, 4);
}

/**
 * The head of a string, list or map: `base + size` in one byte up to `limit`, else a marker with 16
 * or 32 bits of size.
 */
function packHead(
  size: number,
  base: number,
  limit: number,
  [marker16, marker32]: [number, number],
): void {
  if (size <= limit) out.byte(base + size);
  else if (size <= 0xffff) packSized(marker16, size, 2);
  else packSized(marker32, size, 4);
}

function packSized(marker: number, value: number, bytes: number): void {
  out.byte(marker);
  out.reserve(bytes);
  out.length = out.buffer.writeUIntBE(value, out.length, bytes);
}
