import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';

import type { Json } from '../../support/gateway/entities.ts';
import { type Received, integerSize } from './peer.ts';
import { type Exchange, type RecordedBody, argumentOf, member, textOf } from './trace.ts';
import { type Wire, isRecorded, show } from './wire.ts';

/** What differs between the recorded gateway and this one. */
export interface Ports {
  readonly proxy: number;
  readonly secure: number;
  readonly upstream: number;
}

type Check = (actual: Wire, ports: Ports) => boolean;

const isNumber: Check = (actual) => actual.type === 'integer' || actual.type === 'float';
const isProxyPort: Check = (actual, ports) =>
  actual.type === 'integer' && [ports.proxy, ports.secure].includes(actual.value);
const isText =
  (pattern: RegExp): Check =>
  (actual) =>
    actual.type === 'str' && pattern.test(actual.value.toString('latin1'));
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** PDK calls whose answer is another one in every run, by name and first argument. */
const VARIABLE: { readonly [call: string]: Check } = {
  'kong.request.get_port': isProxyPort,
  'kong.request.get_forwarded_port': isProxyPort,
  'kong.client.get_port': isNumber,
  'kong.client.get_forwarded_port': isNumber,
  'kong.nginx.req_start_time': isNumber,
  'kong.nginx.get_ctx KONG_PROCESSING_START': isNumber,
  'kong.nginx.get_var request_id': isText(/^[0-9a-f]{32}$/),
  'kong.node.get_id': isText(UUID),
  'kong.plugin.get_id': isText(UUID),
};

/** Compares a request of the stand-in with the recorded one: decoded, in size, and in bytes where order allows. */
export function assertRequest(received: Received, call: string | undefined, ports: Ports): void {
  const { argument, expected, method } = received;
  const variable = VARIABLE[call ?? ''];
  if (variable !== undefined) {
    assert.ok(variable(memberOf(argument, 'Data'), ports), `${call ?? ''}: ${describe(argument)}`);
    return;
  }
  if (method === 'plugin.StartInstance') return assertStart(argument, expected);
  if (call === 'kong.router.get_service') return assertService(argument, expected, ports);
  const recorded = argumentOf(expected);
  assert.ok(
    isRecorded(recorded, argument),
    `${method}: ${describe(argument)}\nrecorded ${JSON.stringify(recorded)}`,
  );
  const { size, hex, frame } = expected.request;
  const shift = integerSize(received.messageId) - integerSize(frame[1]);
  assert.equal(received.bytes.length, size + shift, `${method}: size`);
  if (hex === undefined || !isSameOrder(recorded, argument)) return;
  const own = received.bytes.subarray(2 + integerSize(received.messageId)).toString('hex');
  assert.equal(own, hex.slice(2 * (2 + integerSize(frame[1]))), `${method}: bytes`);
}

/** The configuration but for `__seq__`, and byte for byte what Kong's JSON looks like but for the order. */
function assertStart(argument: Wire, expected: Exchange): void {
  const recorded = argumentOf(expected);
  const text = memberOf(argument, 'Config');
  assert.equal(text.type, 'str');
  const own = text.type === 'str' ? text.value.toString('utf8') : '';
  const other = textOf(member(recorded, 'Config'));
  assert.deepEqual(parseConfig(own), parseConfig(other));
  assert.equal(withoutSeq(own).length, withoutSeq(other).length, 'length of Config');
  assert.ok(isRecorded(member(recorded, 'Name') ?? null, memberOf(argument, 'Name')));
}

const parseConfig = (text: string): Json => {
  const config = JSON.parse(text) as { [key: string]: Json };
  assert.equal(typeof config['__seq__'], 'number');
  return { ...config, __seq__: 0 };
};

const withoutSeq = (text: string): string => text.replace(/"__seq__":\d+/, '"__seq__":0');

function assertService(argument: Wire, expected: Exchange, ports: Ports): void {
  const recorded = member(argumentOf(expected), 'Data');
  const here = { ...(recorded as { [field: string]: Json }), port: ports.upstream };
  assert.ok(isRecorded(here, memberOf(argument, 'Data')), describe(argument));
}

function memberOf(value: Wire, name: string): Wire {
  const pairs = value.type === 'map' ? value.value : [];
  const pair = pairs.find(([key]) => key.type === 'str' && key.value.toString() === name);
  return pair?.[1] ?? { type: 'nil' };
}

const describe = (wire: Wire): string => JSON.stringify(show(wire));

/** Lua's tables have no order of their own; where it happens to be the recorded one, the bytes must be too. */
function isSameOrder(expected: Json, actual: Wire): boolean {
  if (typeof expected !== 'object' || expected === null) return true;
  if (Array.isArray(expected)) {
    return expected.every(
      (element, i) =>
        actual.type === 'array' && isSameOrder(element, actual.value[i] ?? { type: 'nil' }),
    );
  }
  if (actual.type !== 'map') return true;
  return Object.entries(expected).every(([key, value], i) => {
    const [ownKey, own] = actual.value[i] ?? [{ type: 'nil' }, { type: 'nil' }];
    return isRecorded(key, ownKey) && isSameOrder(value, own);
  });
}

/** Whose value is another one in every run, and what stands for it. */
const NORMALIZED: readonly [name: RegExp, value: RegExp, stand: string][] = [
  [/^x-kong-request-id$/, /^[0-9a-f]{32}$/, 'ID'],
  [/^x-kong-(upstream|proxy|response)-latency$/, /^\d+$/, 'MS'],
  [/^date$/, /GMT$/, 'DATE'],
  [/^(ratelimit-reset|retry-after)$/, /^([1-9]|[1-5]\d|60)$/, 'SECONDS'],
];

export type HeaderMap = { [name: string]: string[] };

/** Headers as a multimap with lower-case names; of lines with different names the order does not matter. */
export function headerMap(
  headers: readonly (readonly [string, string])[],
  translate: (name: string, value: string) => string = (_, value) => value,
): HeaderMap {
  const map: HeaderMap = {};
  for (const [field, text] of headers) {
    const name = field.toLowerCase();
    const rule = NORMALIZED.find(([pattern, form]) => pattern.test(name) && form.test(text));
    (map[name] ??= []).push(rule?.[2] ?? translate(name, text));
  }
  return map;
}

const withoutId = (text: string): string => text.replaceAll(/\b[0-9a-f]{32}\b/g, 'ID');

/** Compares a body with a recorded one, request ids aside. */
export function assertBody(actual: Buffer, recorded: RecordedBody): void {
  if (typeof recorded !== 'string') {
    assert.equal(actual.length, recorded.len);
    const digest = createHash('sha256').update(actual).digest('hex');
    if (recorded.sha256 !== undefined) assert.equal(digest, recorded.sha256);
    return;
  }
  assert.equal(withoutId(actual.toString('utf8')), withoutId(recorded));
}

/** Kong's lines about the plugin at warn and above, without the places in its code. */
export function pluginLines(log: readonly string[]): string[] {
  return log
    .filter((line) => /^\[(warn|error|crit)\] \[kong\] .*\[session-guard\]/.test(line))
    .map((line) => line.replaceAll(/\S+\.lua:\d+:? /g, '').replace(/table: 0x[0-9a-f]+/, 'table'));
}
