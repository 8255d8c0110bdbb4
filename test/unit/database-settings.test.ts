import assert from 'node:assert/strict';
import { test } from 'node:test';
import { settingsOf } from '../../lib/database-settings.ts';
import { SessionGuard } from '../../lib/instance.ts';

const LIKE = /must be a URL like postgres:\/\/user@host\/database/;
const ENCODED = /percent-encoded/;

for (const [what, url, problem] of [
  ['of another scheme', 'mysql://user:hunter2@host/x', LIKE],
  ['with # in its password', 'postgres://user:hunter2#@host/x', ENCODED],
  ['with a password in Latin-1', 'postgres://user:hunter2%E9@host/x', ENCODED],
  ['with a database in Latin-1', 'postgres://user:hunter2@host/%E9', ENCODED],
  ['with a port that is none', 'postgres://user:hunter2@host:99999/x', LIKE],
  ['with such a port among its parameters', 'postgres://user:hunter2@host/x?port=99999', /65535/],
  ['with a port in words', 'postgres://user:hunter2@host/x?port=abc', /65535/],
  [
    'that asks to verify by no authority',
    'postgres://user:hunter2@host/x?uselibpqcompat=true&sslmode=verify-ca',
    /sslrootcert/,
  ],
] as const) {
  const refusal = (field: string) => (error: Error & { code?: string }) => {
    assert.equal(error.code, 'ERR_CONFIG');
    assert.ok(error.message.startsWith(`config.${field}: `), error.message);
    assert.match(error.message, problem);
    assert.doesNotMatch(error.message, /hunter2/);
    return true;
  };

  test(`a URL ${what} is refused by its field's name`, () => {
    assert.throws(() => settingsOf({ url }), refusal('postgres.url'));
    const listener = { url: 'postgres://host/x', listenUrl: url };
    assert.throws(() => settingsOf(listener), refusal('postgres.listen_url'));
    assert.throws(() => settingsOf({ url }, 'kong_database_url'), refusal('kong_database_url'));
  });
}

test("a configuration is told which URL of it is wrong: Kong's database has its own", () => {
  const config = {
    secret: 'a secret of the tests, 32 bytes or more',
    kong_database_url: 'postgres://kong@host/kong?port=0',
  };
  assert.throws(() => new SessionGuard(config), {
    code: 'ERR_CONFIG',
    message: 'config.kong_database_url: the port must be between 1 and 65535',
  });
});

test('a socket, an IPv6 address and a file that is not there yet are no reason to refuse', () => {
  for (const url of [
    'postgres://user@%2Fvar%2Frun%2Fpostgresql/x',
    'postgres://user@/x?host=/var/run/postgresql',
    'socket:/var/run/postgresql?db=x',
    'postgresql://user@[::1]:6432/x',
    'postgres://user@host/x?sslrootcert=/not/there/yet.pem',
  ]) {
    assert.deepEqual(settingsOf({ url }).connection, { connectionString: url });
  }
});
