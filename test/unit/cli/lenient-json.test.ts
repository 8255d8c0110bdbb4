import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { parseLenientJson } from '../../../lib/cli/bundled/lenient-json.ts';
import { runs } from '../../support/runs.ts';

const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

test('everything that is JSON means what JSON.parse says', () => {
  fc.assert(
    fc.property(fc.json(), (text) => {
      assert.deepEqual(plain(parseLenientJson(text)), JSON.parse(text));
    }),
    runs(500),
  );
});

test('what people print instead', () => {
  const cases: readonly [string, unknown][] = [
    ['{"a":1 "b":2}', { a: 1, b: 2 }],
    ['{"a":1\n"b":"x"\n}', { a: 1, b: 'x' }],
    ['{"a":1,}', { a: 1 }],
    ['{,"a":1,,"b":2}', { a: 1, b: 2 }],
    ['["x" "y",]', ['x', 'y']],
    ["{'a':'it\\'s'}", { a: "it's" }],
    ['{\u201ca\u201d:\u201cb\u201d}', { a: 'b' }],
    ['{\u2018a\u2019:\u2018b\u2019}', { a: 'b' }],
    ['{a = kong, b: true c: null}', { a: 'kong', b: true, c: null }],
    ['{"a":01}', { a: '01' }],
    ['{\n  # a comment\n"a":1}', { a: 1 }],
    ['\ufeff{"a":1}', { a: 1 }],
    ['{"a":1,"a":2}', { a: 2 }],
    [String.raw`{"a":"\u00e9\n\q"}`, { a: 'é\nq' }],
    ['{"a":-1.5e3}', { a: -1500 }],
  ];
  for (const [text, expected] of cases) {
    assert.deepEqual(plain(parseLenientJson(text)), expected, text);
  }
});

test('what has no meaning is refused at its place, without being repeated', () => {
  const cases: readonly [string, string][] = [
    ['', 'line 1, column 1: expected a value'],
    ['{', 'line 1, column 2: expected } before the end'],
    ['[1', 'line 1, column 3: expected ] before the end'],
    ['{"a" 1}', 'line 1, column 6: expected : after a field name'],
    ['{"a":}', 'line 1, column 6: expected a value'],
    ['{"a":1]', 'line 1, column 7: expected a field name or }'],
    ['{"a":\n"hunter2', 'line 2, column 1: this string does not end'],
    ['{"a":1} hunter2', 'line 1, column 9: expected nothing more'],
    ['['.repeat(200), 'line 1, column 102: nested more than 100 deep'],
  ];
  for (const [text, message] of cases) {
    assert.throws(() => parseLenientJson(text), { name: 'SyntaxProblem', message }, text);
  }
});

test('a name is a name, whatever JavaScript makes of it', () => {
  const value = parseLenientJson('{"__proto__":{"x":1},"constructor":2}') as object;
  assert.equal(Object.getPrototypeOf(value), null);
  assert.deepEqual(Object.keys(value), ['__proto__', 'constructor']);
  assert.equal(({} as Record<string, unknown>)['x'], undefined);
});

test('what follows is ignored where the value stands among other settings', () => {
  const text = 'conf = {"a":1}\nother = on\n';
  assert.deepEqual(plain(parseLenientJson(text, 7, true)), { a: 1 });
  assert.throws(() => parseLenientJson(text, 7), { message: /nothing more/ });
});
