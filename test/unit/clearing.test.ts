import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  BESIDE_CREDENTIAL,
  EVERY_HEADER,
  FOR_ANONYMOUS,
  FOR_ANYBODY,
  speaks,
} from '../../lib/clearing.ts';

test('every spelling that folds into an identity header speaks, and nothing else', () => {
  for (const name of [
    'x-consumer-id',
    'x_consumer_id',
    'x-consumer_id',
    'session_idling-timeout',
  ]) {
    assert.ok(speaks(name), name);
  }
  for (const name of ['x-consumer', 'xconsumer-id', 'cookie', 'session', 'x-consumer-id-2', '']) {
    assert.ok(!speaks(name), name);
  }
});

test('of known headers only what is there is cleared, and never what is set', () => {
  const sent = ['x-consumer-id', 'x-anonymous-consumer', 'x_consumer-id', 'x-consumer-groups'];
  assert.deepEqual(FOR_ANYBODY.beside({ 'X-Consumer-ID': 'a' }, sent), {
    'x-anonymous-consumer': [],
    'x_consumer-id': [],
    'x-consumer-groups': [],
    'X-Consumer-ID': 'a',
  });
  assert.deepEqual(BESIDE_CREDENTIAL.beside({}, sent), {
    'x_consumer-id': [],
    'x-consumer-groups': [],
  });
  assert.deepEqual(FOR_ANONYMOUS.beside({}, ['x-consumer-id', 'x-authenticated-scope']), {
    'x-authenticated-scope': [],
  });
});

test('of unknown headers every one is cleared in every spelling', () => {
  const headers = FOR_ANYBODY.beside({ 'X-Consumer-ID': 'a' }, undefined);
  assert.equal(headers['X-Consumer-ID'], 'a');
  const spellings = ['X-Consumer-Custom-ID', 'X_Consumer-Custom-ID', 'X-Consumer_Custom-ID']
    .concat('X-Consumer-Custom_ID', 'X_Consumer_Custom-ID', 'X_Consumer-Custom_ID')
    .concat('X-Consumer_Custom_ID', 'X_Consumer_Custom_ID', 'Session-Id', 'Session_Id');
  for (const name of spellings) assert.deepEqual(headers[name], [], name);
  const beside = BESIDE_CREDENTIAL.beside({}, undefined);
  assert.equal(beside['X-Consumer-ID'], undefined, "Kong's own stays");
  assert.deepEqual(beside['X_Consumer-ID'], []);
});

const variableOf = (name: string) => `$http_${name.toLowerCase().replaceAll('-', '_')}`;

test('both nginx includes look at every header that is cleared, and at no other', () => {
  const include = readFileSync(new URL('../../nginx/session-guard.conf', import.meta.url), 'utf8');
  const [, names = ''] =
    /^set \$session_guard "1 \$request\\n((?:\$http_\w+)+)\\n\$http_cookie";$/m.exec(include) ?? [];
  assert.deepEqual(
    names.split('$').slice(1).toSorted(),
    EVERY_HEADER.map((name) => variableOf(name).slice(1)).toSorted(),
  );
  const other = readFileSync(
    new URL('../../nginx/session-guard-http.conf', import.meta.url),
    'utf8',
  );
  const line = EVERY_HEADER.map(variableOf).join('\\t');
  assert.ok(other.includes(`default "2 $request\\n${line}\\n$http_cookie";`), 'in this order');
});
