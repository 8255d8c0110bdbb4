import { LuaError } from '../lua.ts';

/** What a field holds on the wire: a varint (a bigint where a number might not be exact), or bytes. */
export type Raw = number | bigint | Buffer;

export const VARINT = 0;
export const FIXED64 = 1;
export const DELIMITED = 2;
const FIXED32 = 5;

const INITIAL_SIZE = 256;
const MAX_VARINT_SIZE = 10;

/** Writes a message, with the messages in it, into one buffer. */
export class Writer {
  #bytes = Buffer.allocUnsafe(INITIAL_SIZE);
  #length = 0;

  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  tag(number: number, wireType: number): void {
    this.varint(number * 8 + wireType);
  }

  /** Negative numbers take ten bytes. */
  varint(value: number): void {
    this.#reserve(MAX_VARINT_SIZE);
    let rest = Math.trunc(value);
    if (rest < 0 || rest > Number.MAX_SAFE_INTEGER) return this.#wideVarint(BigInt(rest));
    for (; rest > 0x7f; rest = Math.floor(rest / 0x80)) {
      this.#bytes[this.#length++] = (rest % 0x80) | 0x80;
    }
    this.#bytes[this.#length++] = rest;
  }

  double(value: number): void {
    this.#reserve(8);
    this.#length = this.#bytes.writeDoubleLE(value, this.#length);
  }

  /** Bytes with their length in front. */
  text(value: string): void {
    this.varint(value.length);
    this.#reserve(value.length);
    this.#length += this.#bytes.write(value, this.#length, 'latin1');
  }

  /** Begins what has its length in front, and returns what `close` wants to know. */
  open(): number {
    this.#reserve(1);
    return ++this.#length;
  }

  /** Ends it. One byte was kept free for the length; what needs more of them moves. */
  close(start: number): void {
    this.#reserve(MAX_VARINT_SIZE);
    const end = this.#length;
    this.#length = start - 1;
    let shift = 0;
    for (let rest = end - start; rest > 0x7f; rest = Math.floor(rest / 0x80)) shift++;
    if (shift > 0) this.#bytes.copyWithin(start + shift, start, end);
    this.varint(end - start);
    this.#length = end + shift;
  }

  #wideVarint(value: bigint): void {
    let rest = BigInt.asUintN(64, value);
    for (; rest > 0x7fn; rest >>= 7n) this.#bytes[this.#length++] = Number(rest & 0x7fn) | 0x80;
    this.#bytes[this.#length++] = Number(rest);
  }

  #reserve(size: number): void {
    if (this.#length + size <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(2 * (this.#length + size));
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
  }
}

/** Takes a message apart; LuaError for bytes that are none. */
export class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  varint(): number | bigint {
    const start = this.#at;
    let value = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.#byte();
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    this.#at = start;
    return this.#wideVarint();
  }

  raw(wireType: number): Raw {
    if (wireType === VARINT) return this.varint();
    if (wireType === FIXED64) return this.#take(8);
    if (wireType === DELIMITED) return this.#take(Number(this.varint()));
    if (wireType === FIXED32) return this.#take(4);
    throw new LuaError(`invalid wire type ${String(wireType)}`);
  }

  #wideVarint(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#byte();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw new LuaError('invalid varint value');
  }

  #byte(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) throw new LuaError('un-finished bytes');
    this.#at++;
    return byte;
  }

  #take(length: number): Buffer {
    if (this.#at + length > this.#bytes.length) throw new LuaError('un-finished bytes');
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }
}
