import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import {
  decodeStruct,
  decodeValue,
  FieldReader,
  FrameReader,
  ProtobufError,
  ProtobufWriter,
} from '../../../lib/server/protobuf-codec.ts';
import type { PdkMap } from '../../../lib/server/protobuf-codec.ts';
import type { PdkValue } from '../../../lib/pdk.ts';
import { runs } from '../../support/runs.ts';

function write(fill: (out: ProtobufWriter) => void): Buffer {
  const out = new ProtobufWriter();
  out.begin();
  fill(out);
  return out.copy();
}

const frame = (content: Uint8Array) =>
  write((out) => {
    const start = out.beginFrame();
    out.bytes(content);
    out.endFrame(start);
  });

function readFrames(reader: FrameReader, pieces: readonly Buffer[]): Buffer[] {
  const frames: Buffer[] = [];
  for (const piece of pieces) {
    reader.push(piece);
    for (let next = reader.next(); next !== undefined; next = reader.next()) frames.push(next);
  }
  return frames;
}

test('frames come out whole, however they are cut', () => {
  const contents = [Buffer.alloc(0), Buffer.from('a'), Buffer.alloc(300, 7), Buffer.alloc(0)];
  const bytes = Buffer.concat(contents.map(frame));
  assert.deepEqual(bytes.subarray(0, 9), Buffer.from([0, 0, 0, 0, 1, 0, 0, 0, 0x61]));
  for (let cut = 1; cut < bytes.length; cut++) {
    const halves = [bytes.subarray(0, cut), bytes.subarray(cut)];
    assert.deepEqual(readFrames(new FrameReader(), halves), contents);
  }
  const singles = [...bytes].map((byte) => Buffer.of(byte));
  assert.deepEqual(readFrames(new FrameReader(), singles), contents);
});

test('a frame too large is refused by its length', () => {
  const reader = new FrameReader();
  reader.push(Buffer.of(1, 0, 0x10, 0));
  assert.throws(() => reader.next(), ProtobufError);
});

test('numbers', () => {
  for (const number of [0, 1, 127, 128, 300, 65_535, 2 ** 31 - 1, 2 ** 32, 2 ** 53 - 1]) {
    const reader = new FieldReader(write((out) => out.intField(1, number)));
    assert.equal(reader.next(), true);
    assert.equal(reader.int64(), number);
  }
  const minusOne = Buffer.from([0x08, ...Array<number>(9).fill(0xff), 0x01]);
  const reader = new FieldReader(minusOne);
  reader.next();
  assert.equal(reader.int32(), -1);
});

test('fields may come in any order, more than once, and unknown', () => {
  const bytes = write((out) => {
    out.textField(36, 'b');
    out.intField(1, 5);
    out.bytes(Buffer.of(0x7d, 1, 2, 3, 4)); // field 15, 32 bits
    out.intField(1, 6);
  });
  const reader = new FieldReader(bytes);
  const seen: [number, unknown][] = [];
  while (reader.next()) {
    if (reader.field === 1) seen.push([1, reader.int64()]);
    else if (reader.field === 36) seen.push([36, reader.text()]);
    else seen.push([reader.field, undefined]);
  }
  assert.deepEqual(seen, [
    [36, 'b'],
    [1, 5],
    [15, undefined],
    [1, 6],
  ]);
});

const octets = fc.string({
  unit: fc.integer({ min: 0, max: 255 }).map((n) => String.fromCharCode(n)),
});
const value = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    octets,
    fc.double(),
    fc.constant(true),
    fc.array(tie('value'), { maxLength: 5 }),
    fc.dictionary(octets, tie('value'), { maxKeys: 5 }),
  ),
})).value as fc.Arbitrary<PdkValue>;

/** Without prototypes, as it is decoded. */
const bare = (given: unknown): unknown => {
  if (Array.isArray(given)) return given.map((item) => bare(item));
  if (typeof given !== 'object') return given;
  const members = Object.entries(given as object).map(([key, member]) => [key, bare(member)]);
  return Object.assign(Object.create(null) as object, Object.fromEntries(members));
};

test('a Value comes back as it was', () => {
  fc.assert(
    fc.property(value, (given) => {
      assert.deepEqual(decodeValue(write((out) => out.value(given))), bare(given));
    }),
    runs(100),
  );
});

test('lengths of one, two and three bytes', () => {
  for (const size of [0, 1, 127, 128, 129, 16_383, 16_384, 300_000]) {
    const map: PdkMap = { a: 'x'.repeat(size), b: ['y'.repeat(size)], c: { d: 'z'.repeat(size) } };
    assert.deepEqual(decodeStruct(write((out) => out.struct(map))), bare(map));
  }
});

test('what would become something else in Lua is refused', () => {
  for (const given of [null, undefined, false, () => 1, 1n, Symbol('x'), 'a\u010ab']) {
    assert.throws(() => write((out) => out.value(given as PdkValue)), TypeError);
    assert.throws(() => write((out) => out.value([given as PdkValue])), TypeError);
  }
  const cycle: PdkValue[] = [];
  cycle.push(cycle);
  assert.throws(() => write((out) => out.value(cycle)), TypeError);
});

test('absent members are left out, inherited ones and __proto__ are harmless', () => {
  const bytes = write((out) => out.struct({ a: undefined, b: 'x' }));
  assert.deepEqual(Object.keys(decodeStruct(bytes)), ['b']);
  const polluting = write((out) => {
    const member = out.beginMessage(1);
    out.textField(1, '__proto__');
    const start = out.beginMessage(2);
    out.value({ polluted: true });
    out.endMessage(start);
    out.endMessage(member);
  });
  assert.deepEqual(Object.keys(decodeStruct(polluting)), ['__proto__']);
  assert.equal(({} as Record<string, unknown>)['polluted'], undefined);
});

test('nil, and an empty Value, are undefined', () => {
  assert.equal(decodeValue(Buffer.of(0x08, 0x01)), undefined);
  assert.equal(decodeValue(Buffer.alloc(0)), undefined);
});

test('garbage throws ProtobufError and nothing else', () => {
  const deep = write((out) => {
    const starts = Array.from({ length: 100 }, () => [out.beginMessage(6), out.beginMessage(1)]);
    for (const [list, item] of starts.toReversed()) {
      out.endMessage(item!);
      out.endMessage(list!);
    }
  });
  assert.throws(() => decodeValue(deep), ProtobufError);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      for (const decode of [decodeValue, decodeStruct]) {
        try {
          decode(Buffer.from(bytes));
        } catch (err) {
          assert.ok(err instanceof ProtobufError);
        }
      }
    }),
    runs(2000),
  );
});
