/** Protocol Buffers read without a schema, to compare messages whose fields come in any order. */

interface WireField {
  readonly number: number;
  readonly type: number;
  readonly payload: Buffer;
}

/** The fields of a message; undefined where the bytes are none. */
export function parseFields(bytes: Buffer): WireField[] | undefined {
  const fields: WireField[] = [];
  for (let at = 0; at < bytes.length;) {
    const tag = varintAt(bytes, at);
    const [number, type] = [Math.floor(Number(varintValue(tag)) / 8), (tag[0] ?? 0) % 8];
    if (number === 0 || ![0, 1, 2, 5].includes(type)) return undefined;
    at += tag.length;
    const prefix = type === 0 || type === 2 ? varintAt(bytes, at) : Buffer.alloc(0);
    at += type === 2 ? prefix.length : 0;
    const length = [prefix.length, 8, Number(varintValue(prefix)), 0, 0, 4][type] ?? 0;
    if (at + length > bytes.length) return undefined;
    fields.push({ number, type, payload: bytes.subarray(at, at + length) });
    at += length;
  }
  return fields;
}

function varintAt(bytes: Buffer, start: number): Buffer {
  let end = start;
  while (end < bytes.length && (bytes[end] ?? 0) >= 0x80) end++;
  return bytes.subarray(start, end + 1);
}

export function varintValue(bytes: Buffer): bigint {
  return bytes.reduceRight((value, byte) => (value << 7n) | BigInt(byte & 0x7f), 0n);
}

export function varint(value: bigint): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  return Buffer.of(...bytes, Number(rest));
}

/** A form that is the same for messages that differ only in the order of their fields, at any depth. */
export function canonical(bytes: Buffer): string {
  const fields = bytes.length === 0 ? undefined : parseFields(bytes);
  if (fields === undefined) return bytes.toString('hex');
  const parts = fields.map(({ number, type, payload }) => {
    const value = type === 2 ? canonical(payload) : payload.toString('hex');
    return `${String(number)}:${String(type)}:(${value})`;
  });
  return parts.toSorted().join(',');
}

/** The payload with its length in front. */
export function frameOf(payload: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(payload.length);
  return Buffer.concat([length, payload]);
}
