import {
  LuaError,
  type LuaMap,
  type LuaValue,
  index,
  isTable,
  sequence,
  typeName,
} from '../lua.ts';
import { DELIMITED, FIXED64, type Raw, Reader, VARINT, Writer } from './protobuf-wire.ts';

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
  const out = new Writer();
  writeMessage(out, message, value);
  return out.bytes;
}

function writeMessage(out: Writer, message: Message, value: LuaValue): void {
  for (const field of message) {
    const member = index(value, field.name);
    if (member !== undefined) writeField(out, field, member);
  }
}

function writeField(out: Writer, field: Field, value: LuaValue): void {
  if (field.repeated === true) {
    if (!isTable(value)) return;
    for (const one of sequence(value)) writeOne(out, field, one);
  } else if (field.map === true) {
    if (!(value instanceof Map)) return;
    for (const [key, member] of value) writeEntry(out, field, String(key), member);
  } else {
    // lua-protobuf leaves out 0 and "", but not false (test/traces/protobuf/03-router).
    const isDefault = value === '' || value === 0;
    const isMessage = typeof field.type === 'function';
    if (!isDefault || field.oneof === true || isMessage) writeOne(out, field, value);
  }
}

function writeEntry(out: Writer, field: Field, key: string, value: LuaValue): void {
  out.tag(field.number, DELIMITED);
  const start = out.open();
  out.tag(1, DELIMITED);
  out.text(key);
  if (value !== undefined) writeOne(out, { number: 2, name: 'value', type: field.type }, value);
  out.close(start);
}

/** The value with its tag, be it the default or not. */
function writeOne(out: Writer, { number, name, type }: Field, value: LuaValue): void {
  if (typeof type === 'function') {
    out.tag(number, DELIMITED);
    const start = out.open();
    writeMessage(out, type(), value);
    out.close(start);
  } else if (type === 'string' || type === 'bytes') {
    if (typeof value !== 'string') throw unexpected(type, name, value);
    out.tag(number, DELIMITED);
    out.text(value);
  } else if (type === 'boolean') {
    if (typeof value !== 'boolean') throw unexpected(type, name, value);
    out.tag(number, VARINT);
    out.varint(Number(value));
  } else {
    if (typeof value !== 'number') throw unexpected(type, name, value);
    out.tag(number, type === 'double' ? FIXED64 : VARINT);
    if (type === 'double') out.double(value);
    else out.varint(value);
  }
}

const unexpected = (type: Scalar, name: string, value: LuaValue): LuaError =>
  new LuaError(`${type} expected for field '${name}', got ${typeName(value)}`);

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
    const field = fieldOf(message, Math.floor(key / 8));
    if (field !== undefined) store(value, field, raw);
  }
  return value;
}

function fieldOf(message: Message, number: number): Field | undefined {
  for (const field of message) if (field.number === number) return field;
  return undefined;
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
  return DEFAULTS[field.type];
}

const DEFAULTS: { readonly [type in Scalar]: LuaValue } = {
  string: '',
  bytes: '',
  integer: 0,
  double: 0,
  boolean: false,
  null: undefined,
};

function decodeValue(field: Field, raw: Raw): LuaValue {
  if (typeof field.type === 'function') {
    return decodeMessage(field.type(), delimitedBytes(field, raw));
  }
  if (field.type === 'string' || field.type === 'bytes') {
    return delimitedBytes(field, raw).toString('latin1');
  }
  if (field.type === 'double') {
    const bytes = delimitedBytes(field, raw);
    if (bytes.length !== 8) throw mismatch(field);
    return bytes.readDoubleLE();
  }
  if (typeof raw === 'object') throw mismatch(field);
  if (field.type === 'boolean') return Number(raw) !== 0;
  // An enum is decoded as the name of its member.
  if (field.type === 'null') return 'NULL_VALUE';
  return typeof raw === 'number' ? raw : Number(BigInt.asIntN(64, raw));
}

function delimitedBytes(field: Field, raw: Raw): Buffer {
  if (typeof raw !== 'object') throw mismatch(field);
  return raw;
}

const mismatch = (field: Field): LuaError =>
  new LuaError(`type mismatch for ${field.name}: unexpected wire type`);
