import { frameOf, varint } from './protobuf-wire.ts';
import type { Item } from './protobuf-trace.ts';

/** A decoded message as the traces show it: long values by their beginning, which repeats its last character. */
type Shown = { readonly [key: string]: unknown };

const field = (number: number, payload: Buffer): Buffer =>
  Buffer.concat([varint(BigInt(number * 8 + 2)), varint(BigInt(payload.length)), payload]);

/** The bytes of a frame that the trace shows shortened. Throws Error where they are not of the recorded size. */
export function restored({ decoded, size }: Item): Buffer {
  const message = ENCODERS[decoded?.['message'] as string]?.(decoded?.['fields'] as Shown);
  const frame = message && frameOf(message);
  if (frame === undefined || frame.length !== size)
    throw new Error(`cannot restore ${JSON.stringify(decoded)}`);
  return frame;
}

const ENCODERS: Record<string, (fields: Shown) => Buffer> = {
  Struct: struct,
  ListValue: list,
  ExitArgs: ({ status, body, headers }) =>
    Buffer.concat([
      Buffer.of(0x08),
      varint(BigInt(status as number)),
      ...(body === undefined ? [] : [field(2, text(body))]),
      ...(headers === undefined ? [] : [field(3, struct(headers as Shown))]),
    ]),
};

function struct({ fields }: Shown): Buffer {
  const members = Object.entries(fields as Shown);
  return Buffer.concat(
    members.map(([key, shown]) =>
      field(1, Buffer.concat([field(1, Buffer.from(key)), field(2, value(shown as Shown))])),
    ),
  );
}

function list({ values }: Shown): Buffer {
  return Buffer.concat((values as Shown[]).map((shown) => field(1, value(shown))));
}

/** google.protobuf.Value of a string: no other kind is long. */
const value = (shown: Shown): Buffer => field(3, text(shown['string_value']));

function text(shown: unknown): Buffer {
  if (typeof shown === 'string') return Buffer.from(shown);
  const { $str, len } = shown as { $str: string; len: number };
  return Buffer.from($str.padEnd(len, $str.at(-1)));
}
