import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { KongVariables, RequestReader } from '../../lib/request-reader.ts';
import type { Pdk, PdkCall } from '../../lib/pdk.ts';
import type { Request } from '../../lib/request.ts';

interface Kong {
  readonly pipelined?: boolean;
  /** By the call's name and first argument. */
  readonly answers: Readonly<Record<string, unknown>>;
}

/** A request as a Kong with these answers tells of it, and what was asked of that. */
async function read({ pipelined = false, answers }: Kong, reader = newReader()) {
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
  const request: Request = await reader.read(pdk);
  return { request, asked, names: asked.map((call) => call.filter(isPlain).join(' ')) };
}

/** Of a process that has not seen a request yet. */
const newReader = () => new RequestReader({ bind: [] }, new KongVariables());

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
  const reader = newReader();
  // The first request finds out that there is the variable.
  await read({ pipelined: true, answers }, reader);
  const { request, asked } = await read({ pipelined: true, answers }, reader);
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

const CREDENTIAL = 'kong.client.get_credential';
const CONSUMER = 'kong.client.get_consumer';
const TURN = 'kong.nginx.get_var session_guard_turn';

/** The variable of nginx/session-guard-http.conf, of a request with these headers. */
const turn = (id: string, username: string, identifier = '', mark = '', groups = ''): string =>
  `2 GET / HTTP/1.1\n${[id, '', username, identifier, mark, '', '', groups].join('\t')}${'\t'.repeat(9)}\na=1`;

const ANONYMOUS = turn('anon-id', 'anon', '', 'true');
const anonymous = { id: 'anon-id', username: 'anon', custom_id: undefined };

for (const pipelined of [true, false]) {
  describe(`the variable of the http block, ${pipelined ? 'batches' : 'single calls'}`, () => {
    const fresh = async () => {
      const reader = newReader();
      const see = (view: string, others: Record<string, unknown> = {}) =>
        read({ pipelined, answers: { [TURN]: view, ...others } }, reader);
      // The first request finds out that there is the variable.
      await see(turn('', ''));
      return see;
    };

    test('of the anonymous consumer Kong is asked once', async () => {
      const see = await fresh();
      const first = await see(ANONYMOUS, { [CONSUMER]: anonymous });
      assert.ok(first.names.includes(CREDENTIAL) && first.names.includes(CONSUMER));
      const { request, names } = await see(ANONYMOUS);
      assert.deepEqual(names, [TURN]);
      assert.equal(request.credential, undefined);
      assert.equal(request.isUnclaimed, true);
      assert.equal(request.cookies, 'a=1');
      assert.deepEqual(await request.line(), { method: 'GET', path: '/', query: '' });
    });

    test('who comes with a credential is seen, and Kong is asked again', async () => {
      const see = await fresh();
      await see(ANONYMOUS, { [CONSUMER]: anonymous });
      const alice = { [CREDENTIAL]: { id: 'key' }, [CONSUMER]: { id: 'a', username: 'alice' } };
      const { request } = await see(turn('a', 'alice', 'key'), alice);
      assert.deepEqual(request.credential, { id: 'key' });
      assert.equal((await request.consumer())?.username, 'alice');
      const { names } = await see(ANONYMOUS);
      assert.deepEqual(names, [CREDENTIAL, TURN], 'the next is asked for both at once');
      assert.deepEqual((await see(ANONYMOUS)).names, [TURN]);
    });

    test('a credential counts, whatever is said', async () => {
      const see = await fresh();
      const lie = { [CONSUMER]: anonymous, [CREDENTIAL]: { id: 'key' } };
      for (let time = 0; time < 2; time++) {
        const { request, names } = await see(ANONYMOUS, lie);
        assert.deepEqual(request.credential, { id: 'key' });
        assert.ok(names.includes(CREDENTIAL));
      }
      await see(ANONYMOUS, { [CONSUMER]: anonymous });
      await see(turn('', ''));
      const { request, names } = await see(ANONYMOUS, lie);
      assert.deepEqual(request.credential, { id: 'key' });
      assert.ok(names.includes(CREDENTIAL), 'it was asked for already');
    });

    test('what Kong does not confirm is a claim, every time', async () => {
      const see = await fresh();
      const claims = [
        ANONYMOUS,
        turn('other-id', 'anon', '', 'true'),
        turn('anon-id', 'alice', '', 'true'),
        turn('anon-id\t', 'anon', '', 'true'),
        turn('anon-id', 'anon', 'key', 'true'),
        turn('anon-id', 'anon', '', 'TRUE'),
        turn('anon-id', 'anon', '', 'true, true'),
        turn('anon-id', 'anon', '', 'true', 'admins'),
        turn('anon-id', 'anon'),
      ];
      // No auth plugin has set a consumer.
      for (const claim of [...claims, ...claims]) {
        const { request, names } = await see(claim);
        assert.equal(request.isUnclaimed, false, claim);
        assert.equal(request.spoken, undefined, claim);
        assert.ok(names.includes(CREDENTIAL), claim);
      }
      // One has, but all the others say something else.
      for (const claim of claims) {
        const { request } = await see(claim, { [CONSUMER]: anonymous });
        assert.equal(request.isUnclaimed, claim === ANONYMOUS, claim);
      }
    });

    test('where nothing is said there may be a credential all the same', async () => {
      const see = await fresh();
      for (let time = 0; time < 2; time++) {
        const { request } = await see(turn('', ''), { [CREDENTIAL]: { id: 'key' } });
        assert.deepEqual(request.credential, { id: 'key' });
        assert.equal(request.isUnclaimed, true);
      }
    });

    test('what is not in its form is not read, and the variable is looked for anew', async () => {
      const see = await fresh();
      const headers = { cookie: 'b=2' };
      const rest = { [HEADERS]: headers, [COOKIES]: headers.cookie };
      const torn = [`3${ANONYMOUS.slice(1)}`, `${ANONYMOUS}\n`, '2 GET / HTTP/1.1\na=1', ''];
      for (const view of torn) {
        const { request } = await see(view, { ...rest, [CREDENTIAL]: { id: 'key' } });
        assert.equal(request.cookies, 'b=2', view);
        assert.deepEqual(request.credential, { id: 'key' }, view);
      }
      await see('', rest);
      assert.equal(
        (await see(turn('', ''), rest)).request.cookies,
        'b=2',
        'it was known to be missing',
      );
    });
  });
}
