import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { Client } from 'pg';
import { CookieStorage } from '../../lib/cookie-storage.ts';
import { Credentials } from '../../lib/credentials.ts';
import { openDatabase } from '../../lib/database.ts';
import type { Database } from '../../lib/database.ts';
import type { Guard } from '../../lib/presence.ts';
import { startPostgres } from '../support/postgres.ts';
import type { Postgres } from '../support/postgres.ts';
import { alice, bob, openGuard, signInAs, Visitor } from '../support/visitor.ts';

/** The columns that matter of Kong 3.9's tables. */
const KONG = `
  create table keyauth_credentials (id uuid primary key, key text, ttl timestamptz);
  create table basicauth_credentials (id uuid primary key, password text);
  create table jwt_secrets (id uuid primary key, secret text, rsa_public_key text);
  create table hmacauth_credentials (id uuid primary key, secret text);
  create table oauth2_credentials (id uuid primary key, client_secret text);`;

const TTL = 30_000;
let postgres: Postgres;
let database: Database;
let kong: Client;

before(async () => {
  postgres = await startPostgres();
  const url = await postgres.newDatabase();
  kong = new Client(url);
  await kong.connect();
  await kong.query(KONG);
  database = openDatabase({ url, migrate: false });
});

after(async () => {
  await kong.end();
  await database.close();
  await postgres.stop();
});

async function password(value: string): Promise<string> {
  const id = randomUUID();
  await kong.query('insert into basicauth_credentials values ($1, $2)', [id, value]);
  return id;
}

test('a credential of each kind has a print of its own that gives nothing away', async () => {
  const credentials = new Credentials(database);
  const id = randomUUID();
  for (const [table, values, kind] of [
    ['keyauth_credentials', [id, 'k-secret', null], 'key-auth'],
    ['jwt_secrets', [id, null, 'k-secret'], 'jwt'],
    ['hmacauth_credentials', [id, 'k-secret'], 'hmac-auth'],
    ['oauth2_credentials', [id, null], 'oauth2'],
  ] as const) {
    const places = values.map((_, index) => `$${index + 1}`).join(', ');
    await kong.query(`insert into ${table} values (${places})`, [...values]);
    assert.match((await credentials.print(id)) ?? '', new RegExp(`^${kind} [A-Za-z0-9+/]{22}$`));
    await kong.query(`delete from ${table}`);
  }
  assert.equal(await credentials.print(id), undefined);
  assert.equal(await credentials.print("'; drop table jwt_secrets --"), undefined);
});

test('a deleted credential is noticed after the ttl, and not asked for before', async () => {
  let now = 0;
  const credentials = new Credentials(database, () => now);
  const id = await password('one');
  const print = (await credentials.print(id)) ?? '';
  assert.equal(await credentials.isUnchanged(id, print, TTL), true);
  await kong.query('delete from basicauth_credentials where id = $1', [id]);
  now = TTL;
  assert.equal(await credentials.isUnchanged(id, print, TTL), true);
  now = TTL + 1;
  assert.equal(await credentials.isUnchanged(id, print, TTL), false);
});

test('a new password ends the sessions of the old one and no younger one', async () => {
  const credentials = new Credentials(database);
  const id = await password('one');
  const old = (await credentials.print(id)) ?? '';
  assert.equal(await credentials.isUnchanged(id, old, TTL), true);
  await kong.query('update basicauth_credentials set password = $2 where id = $1', [id, 'two']);
  const young = (await credentials.print(id)) ?? '';
  assert.notEqual(young, old);
  assert.equal(await credentials.isUnchanged(id, young, TTL), true);
  assert.equal(await credentials.isUnchanged(id, old, TTL), false);
});

test('an expired key is gone', async () => {
  const id = randomUUID();
  await kong.query(
    `insert into keyauth_credentials values ($1, 'k', now() - interval '1 second')`,
    [id],
  );
  assert.equal(await new Credentials(database).print(id), undefined);
});

test('a database that does not answer ends nothing', async () => {
  const nowhere = openDatabase({ url: 'postgres://127.0.0.1:1/x', connectTimeout: 200 });
  const credentials = new Credentials(nowhere);
  assert.equal(await credentials.isUnchanged(randomUUID(), 'basic-auth x', TTL), true);
  await assert.rejects(credentials.print(randomUUID()), { code: 'ERR_STORE_UNAVAILABLE' });
  await nowhere.close();
});

test('a moment without answers undoes nothing that is known, and is over in seconds', async () => {
  let now = 0;
  const credentials = new Credentials(database, () => now);
  const id = await password('one');
  const old = (await credentials.print(id)) ?? '';
  await kong.query('update basicauth_credentials set password = $2 where id = $1', [id, 'two']);
  const young = (await credentials.print(id)) ?? '';
  assert.equal(await credentials.isUnchanged(id, young, 3600_000), true);
  await kong.query('alter table jwt_secrets rename to away');
  assert.equal(await credentials.isUnchanged(id, old, 3600_000), true, 'nobody says no');
  await kong.query('alter table away rename to jwt_secrets');
  assert.equal(await credentials.isUnchanged(id, old, 3600_000), true, 'not asked all the time');
  now = 5001;
  assert.equal(await credentials.isUnchanged(id, old, 3600_000), false);
  assert.equal(await credentials.isUnchanged(id, young, 3600_000), true);
});

test('who signs in with a new password gets a new session', async () => {
  const clock = { now: Date.now() };
  const unknowing = openGuard({}, new CookieStorage(undefined, () => clock.now));
  const guard = { ...unknowing, credentials: new Credentials(database, () => clock.now) };
  const visitor = new Visitor();
  const id = await password('one');
  await visitor.visit(guard, signInAs(alice, id));
  const earlier = await visitor.visit(guard, signInAs(alice, id));
  assert.deepEqual(earlier.kind === 'credential' && earlier.cookies, [], 'the same one goes on');
  await kong.query('update basicauth_credentials set password = $2 where id = $1', [id, 'two']);
  const later = await visitor.visit(guard, signInAs(alice, id));
  assert.ok(later.kind === 'credential' && earlier.kind === 'credential');
  assert.notEqual(later.session?.family, earlier.session?.family);
  clock.now += TTL + 1;
  assert.equal((await visitor.visit(guard)).kind, 'session');
});

test('a session ends with its credential, where that is known', async () => {
  const clock = { now: Date.now() };
  const storage = new CookieStorage(undefined, () => clock.now);
  const unknowing = openGuard({}, storage);
  const guard = { ...unknowing, credentials: new Credentials(database, () => clock.now) };
  const who = async (visitor: Visitor, at: Guard = guard) => {
    const decision = await visitor.copy().visit(at);
    return decision.kind === 'session' ? decision.consumer.username : decision.kind;
  };
  const [known, foreign] = [new Visitor(), new Visitor()];
  const id = await password('a hash');
  await known.visit(guard, signInAs(alice, id));
  await foreign.visit(guard, signInAs(bob, randomUUID()));
  clock.now += TTL + 1;
  assert.deepEqual([await who(known), await who(foreign)], ['alice', 'bob']);
  await kong.query('delete from basicauth_credentials where id = $1', [id]);
  clock.now += TTL + 1;
  assert.deepEqual([await who(known), await who(foreign)], ['nobody', 'bob']);
  assert.equal(await who(known, unknowing), 'alice', 'elsewhere nobody can tell');
});
