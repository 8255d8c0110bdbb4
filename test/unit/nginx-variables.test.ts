import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Entities } from '../support/gateway/entities.ts';
import { Exchange } from '../support/gateway/exchange.ts';
import { Headers } from '../support/gateway/headers.ts';
import { ErrorLog } from '../support/gateway/log.ts';
import { variable } from '../support/gateway/pdk/nginx.ts';

const node = {
  id: 'node',
  entities: new Entities(),
  log: new ErrorLog(),
  isTrusted: () => false,
  include: undefined,
};

const exchange = new Exchange(node, {
  method: 'GET',
  target: '/?argx=1&X=2',
  httpVersion: '1.1',
  scheme: 'http',
  headers: new Headers([
    ['Host', 'site.test'],
    ['httpx', 'header'],
    ['X-Name', 'alice'],
    ['Cookie', 'cookiex=3; A=4'],
  ]),
  peer: { address: '127.0.0.1', port: 1 },
  localPort: 80,
  tlsProtocol: undefined,
  readBody: () => Promise.resolve(Buffer.alloc(0)),
  abort: () => undefined,
});

const EXPECTED: readonly (readonly [name: string, value: string | undefined])[] = [
  ['http_x_name', 'alice'],
  ['HTTP_X_Name', 'alice'],
  ['arg_x', '2'],
  ['cookie_a', '4'],
  ['http_', undefined],
  ['httpx', undefined],
  ['argx', undefined],
  ['cookiex', undefined],
];
for (const [name, value] of EXPECTED) {
  test(`the stand-in's $${name} is ${value ?? 'nil'}`, () => {
    assert.equal(variable(exchange, name), value);
  });
}
