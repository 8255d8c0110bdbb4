import { LuaError, entries, type LuaKey, type LuaValue } from '../lua.ts';

/** Values that lua-MessagePack packs otherwise than a plain Lua value (mp_rpc.lua: fix_raw, mp_empty_map). */
export type Packable = LuaValue | Uint8Array | typeof EMPTY_MAP;

export const EMPTY_MAP = Symbol('empty map');

/** MessagePack as lua-MessagePack 0.5.2 writes it: no str8, smallest integers, doubles. */
export function encode(value: PackableTree): Buffer {
  const parts: Buffer[] = [];
  write(value, parts);
  return Buffer.concat(parts);
}

/** A tree of packable values: the frame around the Lua values. */
export type PackableTree = Packable | readonly PackableTree[] | ReadonlyMap<string, PackableTree>;

function write(value: PackableTree, out: Buffer[]): void {
  if (value === undefined || value === null) out.push(Buffer.of(0xc0));
  else if (typeof value === 'boolean') out.push(Buffer.of(value ? 0xc3 : 0xc2));
  else if (typeof value === 'number') out.push(number(value));
  else if (typeof value === 'string') writeString(value, out);
  else if (value === EMPTY_MAP) out.push(Buffer.of(0x80));
  else if (value instanceof Uint8Array) out.push(binHeader(value.length), Buffer.from(value));
  else if (Array.isArray(value)) writeArray(value, out);
  else writeMap(entries(value as Map<LuaKey, LuaValue>), out);
}

function writeArray(values: readonly PackableTree[], out: Buffer[]): void {
  const members = entries(values as LuaValue[]);
  const last = members.at(-1)?.[0] ?? 0;
  if (last !== members.length) return writeMap(members, out); // holes make it a map
  out.push(header(members.length, 0x90, 0xdc));
  for (const [, member] of members) write(member, out);
}

function writeMap(members: [LuaKey, PackableTree][], out: Buffer[]): void {
  if (members.length === 0) return void out.push(Buffer.of(0x90)); // an empty table is an array
  out.push(header(members.length, 0x80, 0xde));
  for (const [key, member] of members) {
    write(key, out);
    write(member, out);
  }
}

function writeString(value: string, out: Buffer[]): void {
  const bytes = Buffer.from(value, 'latin1');
  out.push(bytes.length < 32 ? Buffer.of(0xa0 + bytes.length) : sized(bytes.length, 0xda), bytes);
}

function header(count: number, fix: number, long: number): Buffer {
  return count < 16 ? Buffer.of(fix + count) : sized(count, long);
}

/** A 16-bit length under `tag`, a 32-bit one under `tag + 1`. */
function sized(length: number, tag: number): Buffer {
  const wide = length > 0xffff;
  const bytes = Buffer.alloc(wide ? 5 : 3);
  bytes.writeUInt8(wide ? tag + 1 : tag);
  if (wide) bytes.writeUInt32BE(length, 1);
  else bytes.writeUInt16BE(length, 1);
  return bytes;
}

function binHeader(length: number): Buffer {
  return length < 0x100 ? Buffer.of(0xc4, length) : sized(length, 0xc5);
}

function number(value: number): Buffer {
  if (!Number.isSafeInteger(value)) {
    const bytes = Buffer.alloc(9, 0xcb);
    bytes.writeDoubleBE(value, 1);
    return bytes;
  }
  if (value >= -0x20 && value <= 0x7f) return Buffer.of(value & 0xff);
  const sizes = value > 0 ? UNSIGNED : SIGNED;
  const size = sizes.find((candidate) => value >= candidate.min && value <= candidate.max);
  const bytes = Buffer.alloc(1 + (size?.bytes ?? 8), size?.tag ?? (value > 0 ? 0xcf : 0xd3));
  if (size === undefined) bytes.writeBigInt64BE(BigInt(value), 1);
  else
    bytes.writeIntBE(
      value >= 2 ** (8 * size.bytes - 1) ? value - 2 ** (8 * size.bytes) : value,
      1,
      size.bytes,
    );
  return bytes;
}

const UNSIGNED = [
  { tag: 0xcc, bytes: 1, min: 0, max: 0xff },
  { tag: 0xcd, bytes: 2, min: 0, max: 0xffff },
  { tag: 0xce, bytes: 4, min: 0, max: 0xffffffff },
];
const SIGNED = [
  { tag: 0xd0, bytes: 1, min: -0x80, max: 0 },
  { tag: 0xd1, bytes: 2, min: -0x8000, max: 0 },
  { tag: 0xd2, bytes: 4, min: -0x80000000, max: 0 },
];

/** One message off the front of `bytes`, or undefined while it is incomplete; LuaError for what cannot be one. */
export function decode(bytes: Buffer): { value: LuaValue; size: number } | undefined {
  const reader = new Reader(bytes);
  try {
    const value = reader.value();
    return { value, size: reader.position };
  } catch (error) {
    if (error === INCOMPLETE) return undefined;
    throw error;
  }
}

const INCOMPLETE = new Error('incomplete message');

class Reader {
  position = 0;
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  value(): LuaValue {
    const tag = this.#uint(1);
    if (tag <= 0x7f) return tag;
    if (tag <= 0x8f) return this.#map(tag & 0x0f);
    if (tag <= 0x9f) return this.#array(tag & 0x0f);
    if (tag <= 0xbf) return this.#string(tag & 0x1f);
    if (tag >= 0xe0) return tag - 0x100;
    return this.#tagged(tag);
  }

  #tagged(tag: number): LuaValue {
    if (tag === 0xc0) return undefined;
    if (tag === 0xc2 || tag === 0xc3) return tag === 0xc3;
    if (tag >= 0xc4 && tag <= 0xc6) return this.#string(this.#uint(2 ** (tag - 0xc4)));
    if (tag === 0xca) return this.#take(4).readFloatBE();
    if (tag === 0xcb) return this.#take(8).readDoubleBE();
    if (tag >= 0xcc && tag <= 0xce) return this.#uint(2 ** (tag - 0xcc));
    if (tag === 0xcf) return Number(this.#take(8).readBigUInt64BE());
    if (tag >= 0xd0 && tag <= 0xd2)
      return this.#take(2 ** (tag - 0xd0)).readIntBE(0, 2 ** (tag - 0xd0));
    if (tag === 0xd3) return Number(this.#take(8).readBigInt64BE());
    if (tag >= 0xd9 && tag <= 0xdb) return this.#string(this.#uint(2 ** (tag - 0xd9)));
    if (tag === 0xdc || tag === 0xdd) return this.#array(this.#uint(tag === 0xdc ? 2 : 4));
    if (tag === 0xde || tag === 0xdf) return this.#map(this.#uint(tag === 0xde ? 2 : 4));
    throw new LuaError(`unpack 'reserved${String(tag)}' is unimplemented`);
  }

  #array(count: number): LuaValue[] {
    const values: LuaValue[] = [];
    for (let i = 0; i < count; i++) values.push(this.value());
    return values;
  }

  #map(count: number): LuaValue {
    const map = new Map<LuaKey, LuaValue>();
    for (let i = 0; i < count; i++) {
      const key = this.value();
      const value = this.value();
      if (key === undefined || typeof key === 'object') throw new LuaError('table index is nil');
      if (value === undefined) map.delete(key);
      else map.set(key, value);
    }
    return map;
  }

  #string(length: number): string {
    return this.#take(length).toString('latin1');
  }

  #uint(size: number): number {
    return this.#take(size).readUIntBE(0, size);
  }

  #take(size: number): Buffer {
    if (this.position + size > this.#bytes.length) throw INCOMPLETE;
    this.position += size;
    return this.#bytes.subarray(this.position - size, this.position);
  }
}
