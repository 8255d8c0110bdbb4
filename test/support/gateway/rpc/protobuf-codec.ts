import {
  LuaError,
  type LuaMap,
  type LuaValue,
  index,
  isTable,
  sequence,
  typeName,
} from '../lua.ts';

/** A field of a message of kong/include/kong/pluginsocket.proto. */
export interface Field {
  readonly number: number;
  readonly name: string;
  readonly type: Scalar | (() => Message);
  readonly repeated?: boolean;
  /** A member of a oneof: no default when decoded, written even if it has the default value. */
  readonly oneof?: boolean;
  /** `map<string, type>`. */
  readonly map?: boolean;
}

export type Scalar = 'string' | 'bytes' | 'integer' | 'boolean' | 'double' | 'null';

export type Message = readonly Field[];

/** Protocol Buffers as lua-protobuf writes them from Lua tables: members that are nil or the default are left out. */
export function encodeMessage(message: Message, value: LuaValue): Buffer {
  const parts = message.flatMap((field) => encodeField(field, index(value, field.name)));
  return Buffer.concat(parts);
}

function encodeField(field: Field, value: LuaValue): Buffer[] {
  if (value === undefined) return [];
  const single = { ...field, repeated: false, map: false, oneof: true };
  if (field.repeated === true) {
    return isTable(value) ? sequence(value).flatMap((one) => encodeField(single, one)) : [];
  }
  if (field.map === true) {
    const pairs = value instanceof Map ? [...value] : [];
    return pairs.map(([key, member]) => {
      const entry: Message = [
        { number: 1, name: 'key', type: 'string', oneof: true },
        { ...single, number: 2, name: 'value' },
      ];
      const pair: LuaMap = new Map([['key', String(key)]]);
      return delimited(field.number, encodeMessage(entry, pair.set('value', member)));
    });
  }
  if (typeof field.type === 'function') {
    return [delimited(field.number, encodeMessage(field.type(), value))];
  }
  // lua-protobuf leaves out 0 and "", but not false (test/traces/protobuf/03-router).
  const isDefault = value === '' || value === 0;
  return isDefault && field.oneof !== true ? [] : [encodeScalar(field, field.type, value)];
}

function encodeScalar(field: Field, type: Scalar, value: LuaValue): Buffer {
  if (type === 'string' || type === 'bytes') {
    if (typeof value === 'string') return delimited(field.number, Buffer.from(value, 'latin1'));
  } else if (type === 'boolean') {
    if (typeof value === 'boolean')
      return Buffer.concat([tag(field.number, 0), varint(Number(value))]);
  } else if (typeof value === 'number') {
    if (type !== 'double') return Buffer.concat([tag(field.number, 0), varint(value)]);
    const bytes = Buffer.alloc(8);
    bytes.writeDoubleLE(value);
    return Buffer.concat([tag(field.number, 1), bytes]);
  }
  throw new LuaError(`${type} expected for field '${field.name}', got ${typeName(value)}`);
}

const tag = (number: number, wireType: number): Buffer => varint(number * 8 + wireType);

function delimited(number: number, bytes: Buffer): Buffer {
  return Buffer.concat([tag(number, 2), varint(bytes.length), bytes]);
}

/** Negative numbers take ten bytes. */
function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(Math.trunc(value)));
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  return Buffer.of(...bytes, Number(rest));
}

/**
 * A message as lua-protobuf decodes proto3: absent scalars have their default, absent messages are nil, of repeated
 * scalars the last counts, unknown fields are ignored; a wrong wire type or broken bytes are a Lua error.
 */
export function decodeMessage(message: Message, bytes: Buffer): LuaMap {
  const value: LuaMap = new Map();
  for (const field of message) {
    const initial = defaultOf(field);
    if (initial !== undefined) value.set(field.name, initial);
  }
  const reader = new Reader(bytes);
  while (!reader.isAtEnd) {
    const key = Number(reader.varint());
    const raw = reader.raw(key & 7);
    const field = message.find(({ number }) => number === Math.floor(key / 8));
    if (field !== undefined) store(value, field, raw);
  }
  return value;
}

function store(value: LuaMap, field: Field, raw: Raw): void {
  if (field.map === true) {
    const entry: Message = [
      { number: 1, name: 'key', type: 'string' },
      { number: 2, name: 'value', type: field.type },
    ];
    const pair = decodeMessage(entry, delimitedBytes(field, raw));
    const key = pair.get('key');
    const map = value.get(field.name);
    if (map instanceof Map && typeof key === 'string') map.set(key, pair.get('value'));
    return;
  }
  const decoded = decodeValue(field, raw);
  const list = value.get(field.name);
  if (field.repeated === true && Array.isArray(list)) list.push(decoded);
  else value.set(field.name, decoded);
}

function defaultOf(field: Field): LuaValue {
  if (field.map === true) return new Map();
  if (field.repeated === true) return [];
  if (field.oneof === true || typeof field.type === 'function') return undefined;
  return { string: '', bytes: '', integer: 0, double: 0, boolean: false, null: undefined }[
    field.type
  ];
}

type Raw = bigint | Buffer;

function decodeValue(field: Field, raw: Raw): LuaValue {
  if (typeof field.type === 'function') {
    return decodeMessage(field.type(), delimitedBytes(field, raw));
  }
  if (field.type === 'string' || field.type === 'bytes') {
    return delimitedBytes(field, raw).toString('latin1');
  }
  if (field.type === 'double') {
    if (typeof raw === 'bigint' || raw.length !== 8) throw mismatch(field);
    return raw.readDoubleLE();
  }
  if (typeof raw !== 'bigint') throw mismatch(field);
  if (field.type === 'boolean') return raw !== 0n;
  // An enum is decoded as the name of its member.
  return field.type === 'null' ? 'NULL_VALUE' : Number(BigInt.asIntN(64, raw));
}

function delimitedBytes(field: Field, raw: Raw): Buffer {
  if (typeof raw === 'bigint') throw mismatch(field);
  return raw;
}

const mismatch = (field: Field): LuaError =>
  new LuaError(`type mismatch for ${field.name}: unexpected wire type`);

class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  varint(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#take(1).readUInt8();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw new LuaError('invalid varint value');
  }

  raw(wireType: number): Raw {
    if (wireType === 0) return this.varint();
    if (wireType === 1) return this.#take(8);
    if (wireType === 2) return this.#take(Number(this.varint()));
    if (wireType === 5) return this.#take(4);
    throw new LuaError(`invalid wire type ${String(wireType)}`);
  }

  #take(length: number): Buffer {
    if (this.#at + length > this.#bytes.length) throw new LuaError('un-finished bytes');
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }
}
