import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RequestReader } from '../../lib/kong-request.ts';
import type { Pdk, PdkCall } from '../../lib/pdk.ts';
import type { Request } from '../../lib/request.ts';

interface Kong {
  readonly pipelined?: boolean;
  /** By the call's name and first argument. */
  readonly answers: Readonly<Record<string, unknown>>;
}

/** A request as a Kong with these answers tells of it, and what was asked of that. */
async function read({ pipelined = false, answers }: Kong) {
  const asked: PdkCall[] = [];
  const pdk: Pdk = {
    pipelined,
    identityByContext: pipelined,
    read: async (calls) => {
      asked.push(...calls);
      return calls.map((call) => answers[call.filter(isPlain).join(' ')]);
    },
    act: async () => {},
  };
  const request: Request = await new RequestReader({ bind: [] }).read(pdk);
  return { request, asked };
}

const isPlain = (part: unknown): part is string | number =>
  typeof part === 'string' || typeof part === 'number';

/** Octets as Kong hands them over. */
const octets = (text: string): string => Buffer.from(text).toString('latin1');

const LINE = 'kong.nginx.get_var request';
const HEADERS = 'kong.request.get_headers 1000';
const COOKIES = 'kong.nginx.get_var http_cookie';

test('an empty header is there, over ProtoBuf, where one variable says the rest', async () => {
  const answers = {
    'kong.nginx.get_var session_guard': '1 GET / HTTP/1.1\n\na=1',
    [HEADERS]: { 'x-background': '' },
  };
  // The first request of a process finds out that there is the variable.
  await read({ pipelined: true, answers });
  const { request, asked } = await read({ pipelined: true, answers });
  assert.equal(request.cookies, 'a=1');
  assert.equal(await request.hasHeader('x-background'), true);
  assert.equal(await request.hasHeader('x-other'), false);
  assert.equal(request.isUnclaimed, true, 'what the variable said stands');
  assert.ok(asked.every(([name]) => name !== 'kong.request.get_header'));
});

test('the request line is parted at SP alone', async () => {
  const cases: [line: string, method: string, path: string, query: string][] = [
    ['GET / HTTP/1.1', 'GET', '/', ''],
    ['POST /a?b=c?d#e HTTP/1.1', 'POST', '/a', 'b=c?d'],
    ['DELETE /à?session_logout=1 HTTP/1.1', 'DELETE', '/à', 'session_logout=1'],
    ['DELETE /\u3000\u00a0?session_logout HTTP/2.0', 'DELETE', '/\u3000\u00a0', 'session_logout'],
    ['DELETE /\u0085\ufeff?x HTTP/1.1', 'DELETE', '/\u0085\ufeff', 'x'],
    // nginx takes several.
    ['PUT   /a?b   HTTP/1.1', 'PUT', '/a', 'b'],
    ['', '', '', ''],
  ];
  for (const [line, method, path, query] of cases) {
    const { request } = await read({ answers: { [LINE]: octets(line) } });
    const expected = { method, path: octets(path), query: octets(query) };
    assert.deepEqual(await request.line(), expected, line);
  }
});

test('an empty header is there, over MessagePack', async () => {
  const answers = { 'kong.request.get_header x-background': '' };
  const { request } = await read({ answers });
  assert.equal(await request.hasHeader('x-background'), true);
  assert.equal(await request.hasHeader('x-other'), false);
});

test('an empty header is there, over ProtoBuf, where the headers are known', async () => {
  const headers = { 'x-background': undefined, 'x-poll': '', 'x-twice': ['', ''] };
  const { request, asked } = await read({ pipelined: true, answers: { [HEADERS]: headers } });
  const before = asked.length;
  for (const name of ['X-Background', 'x-poll', 'X-Twice']) {
    assert.equal(await request.hasHeader(name), true, name);
  }
  for (const name of ['x-other', 'constructor', '__proto__']) {
    assert.equal(await request.hasHeader(name), false, name);
  }
  assert.equal(asked.length, before, 'nothing was asked for it');
});

test('of a request with more headers than Kong hands out one header is asked for by its name', async () => {
  const lines = Array.from({ length: 1000 }, () => 'x');
  const answers = { [HEADERS]: { a: lines }, 'kong.request.get_header x-background': '1' };
  const { request } = await read({ pipelined: true, answers });
  assert.equal(await request.hasHeader('x-background'), true);
  assert.equal(await request.hasHeader('x-other'), false);
});

test('an answer of a kind that Kong never gives fails the request, whose content is not told', async () => {
  const credential = 'kong.client.get_credential';
  const bytes = new Uint8Array(4);
  const wrong: readonly (readonly [call: string, answer: unknown, pipelined?: boolean])[] = [
    ...[42, true, 'hush', ['hush'], bytes].map((answer) => [credential, answer] as const),
    ...[42, true, ['hush'], { hush: 1 }, bytes].flatMap(
      (answer) =>
        [
          [COOKIES, answer],
          [LINE, answer, true],
        ] as const,
    ),
    ...[[42], { host: 42 }, { host: true }, bytes].map(
      (answer) => [HEADERS, answer, true] as const,
    ),
  ];
  for (const [call, answer, pipelined = false] of wrong) {
    const problem = await read({ pipelined, answers: { [call]: answer } }).then(
      () => undefined,
      (error: unknown) => error,
    );
    assert.ok(problem instanceof TypeError, `${call} ${JSON.stringify(answer)}`);
    assert.match(problem.message, /^kong\.[a-z_.]+ answered with a [a-z]+, which it never does$/);
  }
});

test('no credential, and one without a name, are none and one', async () => {
  const credential = 'kong.client.get_credential';
  for (const answer of [undefined, null]) {
    const { request } = await read({ answers: { [credential]: answer } });
    assert.equal(request.credential, undefined);
  }
  for (const answer of [[], {}, { username: 'of ldap' }]) {
    const { request } = await read({ answers: { [credential]: answer } });
    assert.deepEqual(request.credential, {});
  }
});
