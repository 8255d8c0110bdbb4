import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  formatAddress,
  isLoopback,
  isOwnName,
  parseAddress,
} from '../../../lib/endpoint/address.ts';
import { endpointOptions, endpointSettings } from '../../../lib/endpoint/settings.ts';
import { carries } from '../../../lib/endpoint/token.ts';

const TOKEN = 'a-token-of-more-than-32-characters';
const NONE = { metricsTokenFile: undefined, consoleTokenFile: undefined };

test('an address is an IP address or localhost, and a port', () => {
  assert.deepEqual(parseAddress('--http', '127.0.0.1:9114'), { host: '127.0.0.1', port: 9114 });
  assert.deepEqual(parseAddress('--http', '[::1]:0'), { host: '::1', port: 0 });
  assert.equal(formatAddress({ host: '::1', port: 9114 }), '[::1]:9114');
  assert.equal(formatAddress(parseAddress('--http', 'localhost:80')), 'localhost:80');
  for (const wrong of [
    '',
    '9114',
    ':9114',
    '127.0.0.1',
    '127.0.0.1:',
    '127.0.0.1:65536',
    'example.org:9114',
    '::1:9114',
    '[127.0.0.1]:9114',
    '1.2.3:80',
    'http://127.0.0.1:9114',
  ]) {
    assert.throws(
      () => parseAddress('--http', wrong),
      /^Error: --http must be an IP address/,
      wrong,
    );
  }
});

test('loopback is 127.0.0.0/8, ::1 and localhost', () => {
  for (const host of ['127.0.0.1', '127.1.2.3', '::1', 'localhost']) assert.ok(isLoopback(host));
  for (const host of ['0.0.0.0', '::', '10.0.0.1', '128.0.0.1', '::ffff:10.0.0.1']) {
    assert.ok(!isLoopback(host), host);
  }
});

test('a name whose address somebody else decides is not ours', () => {
  for (const host of ['127.0.0.1', '127.0.0.1:9114', '[::1]:9114', 'localhost', 'LocalHost:1']) {
    assert.ok(isOwnName(host), host);
  }
  for (const host of [
    undefined,
    '',
    'example.org',
    'localhost.example.org',
    '127.0.0.1.nip.io:9114',
    '[::1',
    'localhost:9114, example.org',
    '[example.org]:80',
  ]) {
    assert.ok(!isOwnName(host), host);
  }
});

test('a flag wins over its variable, and without an address there is no endpoint', () => {
  assert.equal(endpointOptions({}, {}), undefined);
  assert.equal(endpointOptions({}, { SESSION_GUARD_HTTP: '' }), undefined);
  const env = {
    SESSION_GUARD_HTTP: '127.0.0.1:1',
    SESSION_GUARD_METRICS_TOKEN_FILE: '/m',
    SESSION_GUARD_CONSOLE_TOKEN_FILE: '/c',
  };
  assert.deepEqual(endpointOptions({}, env), {
    address: { host: '127.0.0.1', port: 1 },
    metricsTokenFile: '/m',
    consoleTokenFile: '/c',
  });
  const flags = { http: '[::1]:2', 'console-token-file': '/d' };
  assert.deepEqual(endpointOptions(flags, env), {
    address: { host: '::1', port: 2 },
    metricsTokenFile: '/m',
    consoleTokenFile: '/d',
  });
  assert.throws(() => endpointOptions({}, { SESSION_GUARD_HTTP: 'x' }), /SESSION_GUARD_HTTP must/);
});

test('tokens come from files or variables, are long, and are never repeated', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'endpoint-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'token');
  writeFileSync(file, `${TOKEN}\n`);
  const address = { host: '127.0.0.1', port: 0 };
  const env = { SESSION_GUARD_CONSOLE_TOKEN: `env-${TOKEN}` };
  assert.deepEqual(endpointSettings({ ...NONE, address, metricsTokenFile: file }, env), {
    address,
    metricsToken: TOKEN,
    consoleToken: `env-${TOKEN}`,
  });
  const missing = { ...NONE, address, consoleTokenFile: join(folder, 'none') };
  assert.throws(
    () => endpointSettings(missing, {}),
    /CONSOLE_TOKEN: cannot read .*none \(ENOENT\)/,
  );
  for (const weak of ['short', `${TOKEN} with blanks`]) {
    assert.throws(
      () => endpointSettings({ ...NONE, address }, { SESSION_GUARD_METRICS_TOKEN: weak }),
      ({ message }: Error) => /METRICS_TOKEN: at least 32/.test(message) && !message.includes(weak),
    );
  }
});

test('an address that others reach needs a token for the metrics', () => {
  const open = { ...NONE, address: { host: '0.0.0.0', port: 9114 } };
  assert.throws(() => endpointSettings(open, {}), /give a --metrics-token-file/);
  assert.throws(
    () => endpointSettings(open, { SESSION_GUARD_CONSOLE_TOKEN: TOKEN }),
    /give a --metrics-token-file/,
  );
  const env = { SESSION_GUARD_METRICS_TOKEN: TOKEN };
  assert.equal(endpointSettings(open, env).metricsToken, TOKEN);
});

test('a bearer token is compared whole', () => {
  assert.ok(carries(`Bearer ${TOKEN}`, TOKEN));
  assert.ok(carries(`bearer  ${TOKEN}`, TOKEN));
  for (const header of [
    undefined,
    '',
    TOKEN,
    `Basic ${TOKEN}`,
    `Bearer ${TOKEN}x`,
    `Bearer ${TOKEN.slice(1)}`,
    `Bearer ${TOKEN} ${TOKEN}`,
  ]) {
    assert.ok(!carries(header, TOKEN), header);
  }
});
