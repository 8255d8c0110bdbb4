import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LogoutSettings } from '../../lib/config.ts';
import { isLogout } from '../../lib/logout.ts';
import type { Request } from '../../lib/request.ts';

const settings: LogoutSettings = {
  methods: new Set(['POST', 'DELETE']),
  queryArg: 'session_logout',
  postArg: 'session_logout',
  readBody: false,
  redirect: undefined,
  clearSiteData: [],
};

interface Sent {
  readonly method?: string;
  readonly query?: string;
  readonly type?: string;
  readonly body?: string;
}

/** Counts what is asked of Kong: a body that nobody needs must stay unread. */
function requestOf({ method = 'POST', query = '', type, body = '' }: Sent) {
  const asked: string[] = [];
  const request: Pick<Request, 'line' | 'body'> = {
    line: () => {
      asked.push('line');
      return Promise.resolve({ method, path: '/', query });
    },
    body: () => {
      asked.push('body');
      return Promise.resolve(
        type === undefined ? undefined : { type, bytes: Buffer.from(body, 'latin1') },
      );
    },
  };
  return { request: request as Request, asked };
}

const signsOut = (sent: Sent, changes: Partial<LogoutSettings> = {}) =>
  isLogout(requestOf(sent).request, { ...settings, ...changes });

test('the argument counts by its presence, whatever its value', async () => {
  for (const query of [
    'session_logout',
    'session_logout=',
    'session_logout=false',
    'session_logout=0',
    'a=1&session_logout=true',
    'session%5Flogout=1',
    'session_logout=1&session_logout=',
  ]) {
    assert.equal(await signsOut({ query }), true, query);
  }
});

test('what is not the argument', async () => {
  for (const query of [
    '',
    'session_logout2=1',
    'Session_Logout=1',
    'x=session_logout',
    'x=1;session_logout=1',
    '%zz=1',
    'session_logout%zz=1',
  ]) {
    assert.equal(await signsOut({ query }), false, query);
  }
});

test('only the first hundred arguments are seen', async () => {
  const filler = (count: number) => Array.from({ length: count }, (_, i) => `a${i}=1`).join('&');
  assert.equal(await signsOut({ query: `${filler(99)}&session_logout=1` }), true);
  assert.equal(await signsOut({ query: `${filler(100)}&session_logout=1` }), false);
});

test('the method must be one of the configured, as it is written', async () => {
  for (const method of ['GET', 'HEAD', 'PUT', 'PATCH', 'TRACE', 'delete', 'Post', '']) {
    assert.equal(await signsOut({ method, query: 'session_logout' }), false, method);
  }
  const get = { method: 'GET', query: 'session_logout' };
  assert.equal(await signsOut(get, { methods: new Set(['GET']) }), true);
  assert.equal(await signsOut({ query: 'session_logout' }, { methods: new Set() }), false);
});

const FORM = 'application/x-www-form-urlencoded';
const multipart = (name: string) =>
  `--b\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n1\r\n--b--\r\n`;

test('a body is looked into only where that is configured', async () => {
  const { request, asked } = requestOf({ type: FORM, body: 'session_logout=1' });
  assert.equal(await isLogout(request, settings), false);
  assert.deepEqual(asked, ['line']);
  const nothing = requestOf({ method: 'PUT', query: 'session_logout' });
  assert.equal(await isLogout(nothing.request, { ...settings, methods: new Set() }), false);
  assert.deepEqual(nothing.asked, []);
});

test('forms, multipart and JSON', async () => {
  const cases: [type: string, body: string, expected: boolean][] = [
    [FORM, 'a=1&session_logout=1', true],
    [`${FORM}; charset=utf-8`, 'session_logout', true],
    [FORM, 'a=1', false],
    ['Application/JSON', '{"session_logout":true}', true],
    ['application/json; charset=utf-8', '{"session_logout":null}', true],
    ['application/json', '{"session_logout":0}', true],
    ['application/json', '{"session_logout":false}', false],
    ['application/json', '{"a":{"session_logout":true}}', false],
    ['application/json', '["session_logout"]', false],
    ['application/json', '{"session_logout":', false],
    ['application/json', '5', false],
    ['application/json', 'null', false],
    ['application/json', '"session_logout"', false],
    ['application/json', '', false],
    ['multipart/form-data; boundary=b', multipart('session_logout'), true],
    ['multipart/form-data; boundary=b', multipart('other'), false],
    ['multipart/form-data', multipart('session_logout'), false],
    ['multipart/form-data; boundary=b', 'garbage', false],
    ['text/plain', 'session_logout=1', false],
    ['', 'session_logout=1', false],
  ];
  for (const [type, body, expected] of cases) {
    const name = `${type} ${body}`;
    assert.equal(await signsOut({ type, body }, { readBody: true }), expected, name);
    const get = { method: 'GET', type, body };
    const all = { readBody: true, methods: new Set(['GET']) };
    assert.equal(await signsOut(get, all), false, `GET ${name}`);
  }
});

/** A part of a form with these header lines. */
const part = (...header: string[]) => `--b\r\n${header.join('\r\n')}\r\n\r\nyes\r\n--b--`;
const NAMED = 'Content-Disposition: form-data; name="session_logout"';

test('multipart in every legal spelling', async () => {
  const bodies = [
    part(NAMED),
    `${part(NAMED)}\r\n`,
    `\r\n${part(NAMED)}`,
    `preamble\r\n${part(NAMED)}\r\n`,
    `${part(NAMED)}\r\nepilogue`,
    part('content-disposition: Form-Data; NAME=session_logout'),
    part('Content-Disposition:form-data;name="session_logout"'),
    part('Content-Disposition: form-data; x=1; name="session_logout"'),
    part('Content-Disposition: form-data; filename="; name=other"; name="session_logout"'),
    part('Content-Disposition: form-data; name="session_logout"; filename="a.txt"'),
    part('Content-Disposition: form-data; name="session\\_logout"'),
    part('Content-Disposition: form-data;\r\n name="session_logout"'),
    part('Content-Type: text/plain', NAMED),
    part(NAMED, 'Content-Type: application/octet-stream'),
    part(NAMED).replace('--b\r\n', '--b \t\r\n'),
    `--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n${part(NAMED)}`,
  ];
  for (const body of bodies) {
    const sent = { type: 'multipart/form-data; boundary=b', body };
    assert.equal(await signsOut(sent, { readBody: true }), true, body);
  }
  for (const type of [
    'Multipart/Form-Data; Boundary=b',
    'multipart/form-data;boundary="b"',
    'multipart/form-data ; charset=utf-8; boundary=b',
  ]) {
    assert.equal(await signsOut({ type, body: part(NAMED) }, { readBody: true }), true, type);
  }
});

test('what is not the field of a multipart form', async () => {
  const bodies = [
    part('Content-Disposition: form-data; xname="session_logout"'),
    part('Content-Disposition: form-data; filename="name=session_logout"'),
    part('Content-Disposition: form-data; filename="; name=session_logout"'),
    part('Content-Disposition: attachment; name="session_logout"'),
    part('X-Content-Disposition: form-data; name="session_logout"'),
    part('Content-Disposition: form-data; name="Session_logout"'),
    part('Content-Disposition: form-data; name="a"', '', NAMED),
    part(NAMED).replace('\r\n--b--', ''),
    part(NAMED).replaceAll('--b', '--c'),
    `--b--\r\n${part(NAMED)}`,
    `preamble ${part(NAMED)}`,
  ];
  for (const body of bodies) {
    const sent = { type: 'multipart/form-data; boundary=b', body };
    assert.equal(await signsOut(sent, { readBody: true }), false, body);
  }
  const nbsp = { type: 'multipart/form-data\u00a0; boundary=b', body: part(NAMED) };
  assert.equal(await signsOut(nbsp, { readBody: true }), false);
});

test('the name of a multipart field is UTF-8', async () => {
  const body = Buffer.from(part('Content-Disposition: form-data; name="abmeldén"'));
  const sent = { type: 'multipart/form-data; boundary=b', body: body.toString('latin1') };
  assert.equal(await signsOut(sent, { readBody: true, postArg: 'abmeldén' }), true);
});

test('a JSON member that only the prototype has is no argument', async () => {
  const body = { type: 'application/json', body: '{}' };
  assert.equal(await signsOut(body, { readBody: true, postArg: 'toString' }), false);
});
