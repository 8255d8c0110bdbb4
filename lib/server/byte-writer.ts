/** A buffer this large is not kept for the next message. */
const LARGE_BYTES = 256 * 1024;
const SMALL_BYTES = 4096;
const BEYOND_A_BYTE = /[^\0-\xff]/;

/** Bytes in the making, for one message after another. */
export class ByteWriter {
  buffer = Buffer.allocUnsafe(SMALL_BYTES);
  length = 0;

  /** Forgets what an earlier message left, also one that could not be finished. */
  begin(): void {
    this.length = 0;
    if (this.buffer.length > LARGE_BYTES) this.buffer = Buffer.allocUnsafe(SMALL_BYTES);
  }

  /** A copy of what was written from `start` on. */
  copy(start = 0): Buffer {
    return Buffer.from(this.buffer.subarray(start, this.length));
  }

  byte(value: number): void {
    this.reserve(1);
    this.buffer[this.length++] = value;
  }

  bytes(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    this.buffer.set(bytes, this.length);
    this.length += bytes.length;
  }

  /**
   * Writes a byte string. Throws TypeError on other characters: cut to a byte, U+010A would be a
   * line feed.
   */
  text(text: string): void {
    if (BEYOND_A_BYTE.test(text)) throw new TypeError('a string holds characters beyond one byte');
    this.reserve(text.length);
    this.length += this.buffer.write(text, this.length, 'latin1');
  }

  /** Makes room for as many bytes behind `length`. */
  reserve(bytes: number): void {
    if (this.length + bytes <= this.buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.buffer.length * 2, this.length + bytes));
    this.buffer.copy(larger, 0, 0, this.length);
    this.buffer = larger;
  }
}
