import type { Json } from '../../support/gateway/entities.ts';

/** A MessagePack value with its type as it was on the wire. */
export type Wire =
  | { readonly type: 'nil' }
  | { readonly type: 'boolean'; readonly value: boolean }
  | { readonly type: 'integer' | 'float'; readonly value: number }
  | { readonly type: 'str' | 'bin'; readonly value: Buffer }
  | { readonly type: 'array'; readonly value: Wire[] }
  | { readonly type: 'map'; readonly value: [Wire, Wire][] };

/**
 * Reads one message, strictly: what follows it is an error, as is a str8, which Kong never writes. Written anew beside
 * the stand-in's codec, so that a mistake there cannot hide here.
 */
export function parseWire(bytes: Buffer): Wire {
  const cursor = new Cursor(bytes);
  const value = read(cursor);
  if (!cursor.isAtEnd) throw new RangeError('more bytes than one message');
  return value;
}

class Cursor {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  take(length: number): Buffer {
    if (this.#at + length > this.#bytes.length) throw new RangeError('the message is cut off');
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  unsigned(length: number): number {
    return this.take(length).readUIntBE(0, length);
  }
}

const integer = (value: number | bigint): Wire => ({ type: 'integer', value: Number(value) });
const string = (from: Cursor, length: number): Wire => ({ type: 'str', value: from.take(length) });
const binary = (from: Cursor, length: number): Wire => ({ type: 'bin', value: from.take(length) });
const array = (from: Cursor, length: number): Wire => ({
  type: 'array',
  value: Array.from({ length }, () => read(from)),
});
const map = (from: Cursor, length: number): Wire => ({
  type: 'map',
  value: Array.from({ length }, (): [Wire, Wire] => [read(from), read(from)]),
});

const TAGGED: { readonly [tag: number]: (from: Cursor) => Wire } = {
  0xc0: () => ({ type: 'nil' }),
  0xc2: () => ({ type: 'boolean', value: false }),
  0xc3: () => ({ type: 'boolean', value: true }),
  0xc4: (from) => binary(from, from.unsigned(1)),
  0xc5: (from) => binary(from, from.unsigned(2)),
  0xc6: (from) => binary(from, from.unsigned(4)),
  0xcb: (from) => ({ type: 'float', value: from.take(8).readDoubleBE() }),
  0xcc: (from) => integer(from.unsigned(1)),
  0xcd: (from) => integer(from.unsigned(2)),
  0xce: (from) => integer(from.unsigned(4)),
  0xcf: (from) => integer(from.take(8).readBigUInt64BE()),
  0xd0: (from) => integer(from.take(1).readInt8()),
  0xd1: (from) => integer(from.take(2).readInt16BE()),
  0xd2: (from) => integer(from.take(4).readInt32BE()),
  0xd3: (from) => integer(from.take(8).readBigInt64BE()),
  0xda: (from) => string(from, from.unsigned(2)),
  0xdb: (from) => string(from, from.unsigned(4)),
  0xdc: (from) => array(from, from.unsigned(2)),
  0xdd: (from) => array(from, from.unsigned(4)),
  0xde: (from) => map(from, from.unsigned(2)),
  0xdf: (from) => map(from, from.unsigned(4)),
};

function read(from: Cursor): Wire {
  const tag = from.unsigned(1);
  if (tag <= 0x7f) return integer(tag);
  if (tag <= 0x8f) return map(from, tag & 0x0f);
  if (tag <= 0x9f) return array(from, tag & 0x0f);
  if (tag <= 0xbf) return string(from, tag & 0x1f);
  if (tag >= 0xe0) return integer(tag - 0x100);
  const reader = TAGGED[tag];
  if (reader === undefined) throw new RangeError(`Kong does not write tag 0x${tag.toString(16)}`);
  return reader(from);
}

/** Whether a value on the wire is the one that a trace shows (test/traces/README.md). */
export function isRecorded(expected: Json, actual: Wire): boolean {
  if (expected === null) return actual.type === 'nil';
  if (typeof expected === 'boolean') return actual.type === 'boolean' && actual.value === expected;
  if (typeof expected === 'number') return isNumber(expected, actual);
  if (typeof expected === 'string') {
    return actual.type === 'str' && actual.value.equals(Buffer.from(expected, 'utf8'));
  }
  if (Array.isArray(expected)) {
    if (actual.type !== 'array' || actual.value.length !== expected.length) return false;
    const { value } = actual;
    return expected.every((element, i) => isRecorded(element, value[i] ?? { type: 'nil' }));
  }
  return isMarked(expected, actual) ?? isRecordedMap(Object.entries(expected), actual);
}

const isNumber = (expected: number, actual: Wire): boolean =>
  actual.type === (Number.isInteger(expected) ? 'integer' : 'float') && actual.value === expected;

function isRecordedMap(expected: readonly [Json, Json][], actual: Wire): boolean {
  if (actual.type !== 'map' || actual.value.length !== expected.length) return false;
  const { value } = actual;
  return expected.every(([key, member]) =>
    value.some(([ownKey, own]) => isRecorded(key, ownKey) && isRecorded(member, own)),
  );
}

/** The forms `{$bin}`, `{$str}`, `{$strbytes}`, `{$map}`; undefined for an ordinary map. */
function isMarked(expected: { [key: string]: Json }, actual: Wire): boolean | undefined {
  const { $bin: bin, $str: text, $strbytes: bytes, $map: pairs, len } = expected;
  if (Array.isArray(pairs)) return isRecordedMap(pairs as [Json, Json][], actual);
  const type = typeof bin === 'string' ? 'bin' : 'str';
  const encoded = bin ?? bytes;
  const head = typeof text === 'string' ? Buffer.from(text, 'utf8') : undefined;
  const start = typeof encoded === 'string' ? Buffer.from(encoded, 'base64') : head;
  if (start === undefined) return undefined;
  if (actual.type !== type || actual.value.length !== len) return false;
  return actual.value.subarray(0, start.length).equals(start);
}

/** For messages to people. */
export function show(wire: Wire): unknown {
  if (wire.type === 'nil') return null;
  if (wire.type === 'array') return wire.value.map(show);
  if (wire.type === 'map')
    return Object.fromEntries(wire.value.map(([k, v]) => [show(k), show(v)]));
  if (wire.type === 'bin') return { bin: wire.value.toString('base64') };
  return wire.type === 'str' ? wire.value.toString('utf8') : wire.value;
}
