import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { decode, encode } from '@msgpack/msgpack';
import * as fc from 'fast-check';
import {
  INCOMPLETE,
  MsgpackError,
  packReply,
  Unpacker,
} from '../../../lib/server/msgpack-codec.ts';
import type { PdkValue } from '../../../lib/pdk.ts';
import { runs } from '../../support/runs.ts';
import { TRACES } from '../../support/traces.ts';

interface Frame {
  readonly dir?: string;
  readonly hex?: string;
  readonly frame?: unknown;
}

const recordedFrames = (): Frame[] =>
  readdirSync(TRACES)
    .filter((name) => name.endsWith('.jsonl'))
    .flatMap((name) => readFileSync(new URL(name, TRACES), 'utf8').trim().split('\n').slice(1))
    .map((line) => JSON.parse(line) as Frame)
    .filter(({ dir, hex }) => dir === 'kong>server' && hex !== undefined);

function unpackAll(unpacker: Unpacker, pieces: readonly Buffer[]): unknown[] {
  const messages: unknown[] = [];
  for (const piece of pieces) {
    unpacker.push(piece);
    for (;;) {
      const message = unpacker.next();
      if (message === INCOMPLETE) break;
      messages.push(message);
    }
  }
  return messages;
}

const unpack = (bytes: Uint8Array): unknown => unpackAll(new Unpacker(), [Buffer.from(bytes)])[0];

/**
 * As the traces show values: nil is absent, byte strings are read as UTF-8, and bytes are bytes.
 */
function plain(value: unknown): unknown {
  if (typeof value === 'string') return Buffer.from(value, 'latin1').toString('utf8');
  if (value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString('hex') };
  if (Array.isArray(value)) return value.map((item) => plain(item));
  if (typeof value !== 'object' || value === null) return value ?? null;
  const members = Object.entries(value).map(([name, member]) => [name, plain(member)] as const);
  return Object.fromEntries(members.filter(([, member]) => member !== null));
}

function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map((item) => withoutNulls(item));
  if (typeof value !== 'object' || value === null) return value;
  const members = Object.entries(value).map(
    ([name, member]) => [name, withoutNulls(member)] as const,
  );
  return Object.fromEntries(members.filter(([, member]) => member !== null));
}

/** What a trace cannot show in JSON, it shows as `{"$…": …}`. */
const IS_SPECIAL = /"\$(bin|strbytes|map|float|str)"/;

test('decodes every recorded frame of Kong, cut at any point', () => {
  const frames = recordedFrames();
  assert.ok(frames.length > 500);
  for (const { hex, frame } of frames) {
    const bytes = Buffer.from(hex!, 'hex');
    const whole = unpackAll(new Unpacker(), [bytes]);
    assert.equal(whole.length, 1);
    if (!IS_SPECIAL.test(JSON.stringify(frame))) {
      assert.deepEqual(plain(whole[0]), withoutNulls(frame));
    }
    for (let cut = 1; cut < bytes.length; cut++) {
      const halves = [bytes.subarray(0, cut), bytes.subarray(cut)];
      assert.deepEqual(unpackAll(new Unpacker(), halves), whole);
    }
  }
});

const ascii = fc.string({ unit: 'binary-ascii' });
const message = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    ascii,
    fc.integer({ min: -(2 ** 31), max: 2 ** 32 }),
    fc.double({ noNaN: true }).map((n) => n + 0), // an integer on the wire has no -0
    fc.boolean(),
    fc.uint8Array({ maxLength: 300 }),
    fc.array(tie('value'), { maxLength: 40 }),
    fc.dictionary(
      ascii.filter((key) => key !== '__proto__'),
      tie('value'),
      { maxKeys: 20 },
    ),
  ),
})).value;

test('agrees with another implementation on whatever that one writes, in any pieces', () => {
  fc.assert(
    fc.property(
      fc.array(message, { minLength: 1, maxLength: 4 }),
      fc.array(fc.nat(400)),
      (messages, cuts) => {
        const bytes = Buffer.concat(messages.map((value) => encode(value)));
        const pieces: Buffer[] = [];
        let from = 0;
        for (const length of cuts) {
          pieces.push(bytes.subarray(from, from + length));
          from += length;
        }
        pieces.push(bytes.subarray(from));
        assert.deepEqual(plain(unpackAll(new Unpacker(), pieces)), plain(messages));
      },
    ),
    runs(200),
  );
});

test('another implementation reads what it writes', () => {
  fc.assert(
    fc.property(fc.nat(2 ** 32 - 1), message, (id, value) => {
      const reply = decode(packReply(id, undefined, value as PdkValue));
      assert.deepEqual(plain(reply), plain([1, id, null, value]));
    }),
    runs(200),
  );
});

test('every size of a string, list and map crosses the wire both ways', () => {
  for (const size of [0, 15, 16, 31, 32, 255, 256, 65_536]) {
    const text = 'x'.repeat(size);
    const list = Array.from({ length: size }, (_, i) => i % 7);
    const map = Object.fromEntries(list.map((item, i) => [`k${i}`, item]));
    for (const value of [text, list, map, Uint8Array.from(list)]) {
      const expected = JSON.stringify(plain(value));
      const [, , , result] = decode(packReply(1, undefined, value)) as unknown[];
      assert.ok(JSON.stringify(plain(result)) === expected);
      assert.ok(JSON.stringify(plain(unpack(encode(value)))) === expected);
    }
  }
});

test('numbers keep their value', () => {
  const integers = [0, 127, 128, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1];
  for (const number of [...integers, ...integers.slice(1).map((n) => -n), -32, -33, 0.5, -1e300]) {
    assert.equal(unpack(encode(number)), number);
    assert.equal((decode(packReply(1, undefined, number)) as unknown[])[3], number);
  }
  assert.equal(unpack(Uint8Array.of(0xca, 0x3f, 0x00, 0x00, 0x00)), 0.5);
  assert.equal(unpack(encode(2n ** 63n, { useBigInt64: true })), 2 ** 63);
});

test('strings are bytes in both directions', () => {
  const bytes = Buffer.from([0x00, 0x7f, 0x80, 0xe2, 0x28, 0xa1, 0xff]);
  const text = unpack(Buffer.concat([Buffer.of(0xa7), bytes]));
  assert.deepEqual(Buffer.from(text as string, 'latin1'), bytes);
  const reply = packReply(1, undefined, { [text as string]: text as string });
  assert.equal(
    reply.includes(Buffer.concat([Buffer.of(0x81, 0xa7), bytes, Buffer.of(0xa7), bytes])),
    true,
  );
});

test('a character that is no byte is refused rather than cut to one', () => {
  // U+010A would become a line feed.
  assert.throws(() => packReply(1, undefined, 'a\u010ab'), TypeError);
  assert.throws(() => packReply(1, undefined, { 'a\u010ab': 1 }), TypeError);
});

test('what would shorten an argument list in Lua is refused', () => {
  for (const value of [undefined, null, () => 1, 1n, Symbol('x')]) {
    assert.throws(() => packReply(1, undefined, ['a', value as unknown as string]), TypeError);
  }
  const cycle: PdkValue[] = [];
  cycle.push(cycle);
  assert.throws(() => packReply(1, undefined, cycle), TypeError);
});

test('absent members are left out, and nil is absent', () => {
  assert.deepEqual(decode(packReply(1, undefined, { a: undefined, b: 1 })), [1, 1, null, { b: 1 }]);
  assert.equal(unpack(encode(null)), undefined);
});

test('maps have no prototype and every key is harmless', () => {
  const bytes = Buffer.concat([
    Buffer.of(0x84),
    encode('__proto__'),
    encode({ polluted: true }),
    encode('constructor'),
    encode(1),
    Buffer.of(0xc3, 0x01), // true = 1
    Buffer.of(0x03, 0x02), // 3 = 2
  ]);
  const map = unpack(bytes) as Record<string, unknown>;
  assert.equal(Object.getPrototypeOf(map), null);
  assert.deepEqual(Object.keys(map).toSorted(), ['3', '__proto__', 'constructor', 'true']);
  assert.equal(({} as Record<string, unknown>)['polluted'], undefined);
});

test('what is not MessagePack, too deep or too large throws MsgpackError and nothing else', () => {
  const hostile = [
    Buffer.of(0xc1),
    Buffer.of(0xd4, 1, 1), // an extension
    Buffer.alloc(40, 0x91), // lists in lists
    Buffer.of(0x81, 0x90, 0x01), // a list as a key
    Buffer.of(0x81, 0xc0, 0x01), // nil as a key
    Buffer.of(0xdb, 0xff, 0xff, 0xff, 0xff),
    Buffer.of(0xc6, 0xff, 0xff, 0xff, 0xff),
  ];
  for (const bytes of hostile) assert.throws(() => unpack(bytes), MsgpackError);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      try {
        unpack(bytes);
      } catch (err) {
        assert.ok(err instanceof MsgpackError);
      }
    }),
    runs(2000),
  );
});

test('a list that promises more than it brings waits, and gives up when it is too large', () => {
  const unpacker = new Unpacker();
  assert.deepEqual(unpackAll(unpacker, [Buffer.of(0xdd, 0xff, 0xff, 0xff, 0xff)]), []);
  assert.throws(() => {
    for (let i = 0; i < 20; i++) unpackAll(unpacker, [Buffer.alloc(64 * 1024, 0xc0)]);
  }, MsgpackError);
});
