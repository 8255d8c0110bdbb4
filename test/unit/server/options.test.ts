import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseOptions, USAGE } from '../../../lib/server/options.ts';

test('without arguments it serves where Kong looks for it', () => {
  assert.deepEqual(parseOptions([]), {
    command: 'serve',
    protocol: 'protobuf',
    socket: '/usr/local/kong/session-guard-server.socket',
    coalesce: 250,
    logLevel: 'info',
    detached: false,
    endpoint: undefined,
  });
});

test('the dump is asked for with one dash, as Kong does, or with two', () => {
  for (const argument of ['-dump', '--dump']) {
    assert.equal(parseOptions([argument]).command, 'dump');
  }
  assert.equal(parseOptions(['-dump', '--protocol', 'msgpack']).protocol, 'msgpack');
});

test('the socket follows the prefix unless it is named', () => {
  const prefixed = parseOptions(['--prefix', '/var/kong']);
  assert.equal(prefixed.socket, '/var/kong/session-guard-server.socket');
  assert.equal(parseOptions(['--prefix=/var/kong', '--socket', '/run/x']).socket, '/run/x');
});

test('help comes before version, version before the dump', () => {
  assert.equal(parseOptions(['--dump', '--version', '--help']).command, 'help');
  assert.equal(parseOptions(['--dump', '--version']).command, 'version');
  assert.match(USAGE, /--detached/);
});

test('only who serves needs a sound endpoint: without the dump Kong does not start', () => {
  const env = { SESSION_GUARD_HTTP: '9114' };
  for (const argument of ['-dump', '--version', '--help'])
    assert.equal(parseOptions([argument], env).endpoint, undefined);
  assert.throws(() => parseOptions([], env), /SESSION_GUARD_HTTP must be an IP address/);
});

const WRONG: [argv: string[], message: RegExp][] = [
  [['--sokcet', '/x'], /--sokcet/],
  [['serve'], /serve/],
  [['--socket'], /--socket/],
  [['--protocol', 'json'], /--protocol must be one of protobuf, msgpack, auto$/],
  [['--coalesce', '-1'], /--coalesce/],
  [['--coalesce', '0.5'], /--coalesce must be a number of microseconds from 0 to 10000$/],
  [['--coalesce', '10001'], /--coalesce must be a number of microseconds from 0 to 10000$/],
  [['--log-level', 'trace'], /--log-level must be one of debug, info, warn, error, silent/],
];
for (const [argv, message] of WRONG) {
  test(`${argv.join(' ')} is refused with a reason`, () => {
    assert.throws(() => parseOptions(argv), message);
  });
}
