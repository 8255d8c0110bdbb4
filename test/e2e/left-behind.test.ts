import assert from 'node:assert/strict';
import { createHash, randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { assertDenied, assertDeleted, assertOk } from './support/assertions.ts';
import { isRealKong } from './support/environment.ts';
import { newSecret, type Person, Scene } from './support/scene.ts';
import { Clock, inParallel, until } from './support/waiting.ts';

const STORAGES = ['kong', 'cookie'] as const;

describe('what is left behind', { concurrency: 8 }, () => {
  let scene: Scene;
  before(async () => {
    scene = await Scene.open();
  });
  after(() => scene.close());

  /** Everything that the tables hold, as text; octets as hexadecimal digits. */
  async function everything(): Promise<string> {
    const tables = await scene.rows<{ tablename: string }>(
      "select tablename from pg_tables where schemaname = ':SCHEMA'",
    );
    const texts = await Promise.all(
      tables.map(({ tablename }) =>
        scene.rows<{ text: string }>(`select t::text as text from :SCHEMA.${tablename} t`),
      ),
    );
    return texts
      .flat()
      .map(({ text }) => text)
      .join('\n');
  }

  const subjectsOf = ({ id }: Person) =>
    scene.rows<{ subject: string | null; audience: string }>(
      'select subject, audience from :SCHEMA.sessions where consumer_id = $1 order by audience',
      [id],
    );

  /** A sign-in of one person on two routes that share a cookie. */
  async function twoAudiences(config: object): Promise<Person> {
    const person = await scene.person('subject', { custom_id: scene.name('c-subject') });
    const shared = { storage: 'kong', secret: newSecret(), ...config };
    const host = `${scene.name('metadata')}.app.test`;
    const browser = (
      await scene.setUp({ ...shared, audience: 'a' }, { host, path: '/a' })
    ).browser();
    const b = await scene.setUp({ ...shared, audience: 'b' }, { host, path: '/b' });
    const apikey = person.keys[0].key;
    for (const path of ['/a', '/b'])
      assertOk(await browser.ask({ path, headers: { apikey } }), person);
    assert.equal(b.host, host);
    return person;
  }

  test('S-148: store_metadata: sessions can be found by subject and audience', async () => {
    const person = await twoAudiences({ store_metadata: true });
    assert.deepEqual(await subjectsOf(person), [
      { subject: person.username, audience: 'a' },
      { subject: person.username, audience: 'b' },
    ]);
  });

  test('S-148: hash_subject: not in the clear, with two audiences neither', async () => {
    const person = await twoAudiences({ store_metadata: true, hash_subject: true });
    const digest = createHash('sha256').update(person.username).digest().subarray(0, 16);
    const subject = digest.toString('base64url');
    assert.deepEqual(await subjectsOf(person), [
      { subject, audience: 'a' },
      { subject, audience: 'b' },
    ]);
    const stored = await everything();
    for (const name of [person.username, person.customId ?? '']) assertAbsent(stored, name);
  });

  test('S-148: without store_metadata there is no subject at all', async () => {
    const person = await twoAudiences({ hash_subject: true });
    assert.deepEqual(
      (await subjectsOf(person)).map(({ subject }) => subject),
      [null, null],
    );
    assertAbsent(await everything(), person.username);
  });

  for (const storage of STORAGES) {
    test(`S-128 ${storage}: no log has a cookie, a key or a secret`, async (t) => {
      const reason = isRealKong && logFile === undefined ? 'needs KONG_ERROR_LOG' : undefined;
      if (reason !== undefined) return t.skip(reason);
      const secrets = [newSecret(), newSecret()] as const;
      const person = await scene.person();
      const config = {
        storage,
        secret: secrets[0],
        secret_fallbacks: [secrets[1]],
        postgres: scene.postgres,
        remember: true,
        self_service: true,
        cookie_samesite: 'off',
        rolling_timeout: 60,
      };
      const site = await scene.setUp(config);
      const earlier = await logLines();
      const { browser, reply } = await site.signIn(person);
      const values = reply.setCookies.map((line) => line.split(';')[0]?.split('=')[1] ?? '');
      for (const value of values) {
        const [header, , iv, ciphertext, tag] = value.split('.');
        for (const cookie of [
          `session=${value}A`,
          `session=${header}..${iv}.${ciphertext}.${'A'.repeat(22)}`,
          `session=${iv}.${ciphertext}.${tag}`,
          `remember=${value}; session=${value}; session="${value}"`,
        ]) {
          assert.ok((await browser.ask({ cookie })).status < 500);
        }
      }
      await browser.get('/_sessions');
      await browser.ask({ method: 'DELETE', path: '/?session_logout=1' });
      const bounded = await logLines();
      await inParallel(Array.from({ length: 300 }), 8, async (_, index) => {
        assertDenied(await site.browser().ask({ cookie: `session=garbage-${index}` }));
      });
      const all = await logLines();
      const flood = all.slice(bounded.length).filter((line) => /session-guard/.test(line));
      // Not one each; some are about what other tests do meanwhile.
      assert.ok(flood.length < 150, `${flood.length} lines about 300 cookies of nobody`);
      const written = all.slice(earlier.length).join('\n');
      const parts = values.flatMap((value) => value.split('.').slice(2));
      const database = new URL(scene.postgres.url);
      const keys = person.keys.map(({ key }) => key);
      for (const secret of [...parts, ...secrets, ...keys, database.password]) {
        if (secret !== '') assert.equal(written.includes(secret), false, 'a secret is in the log');
      }
    });

    test(`S-128 ${storage}: a configuration that is wrong is named without its secrets`, async (t) => {
      const reason = isRealKong && logFile === undefined ? 'needs KONG_ERROR_LOG' : undefined;
      if (reason !== undefined) return t.skip(reason);
      const earlier = await logLines();
      // Long enough for Kong's schema, not good enough for the plugin.
      const secret = 'tatutata'.repeat(5);
      const site = await scene.setUp({}, { guarded: false });
      const path = `/routes/${site.route.id}/plugins`;
      await scene.admin.create(path, scene.guardPlugin({ storage, secret }));
      const headers = { apikey: scene.alice.keys[0].key };
      const ask = () => site.browser().ask({ headers, fresh: true });
      await until('the plugin is refused', async () => (await ask()).status >= 500);
      const written = (await logLines()).slice(earlier.length).join('\n');
      assert.match(written, /config\.secret/);
      assert.equal(written.includes(secret), false);
    });
  }

  const logFile = process.env['KONG_ERROR_LOG'];

  /** Of a node that has only one plugin server. */
  async function logLines(): Promise<string[]> {
    if (logFile !== undefined && isRealKong) return (await readFile(logFile, 'latin1')).split('\n');
    return scene.kong.gateways.flatMap(({ log }) => [...log]);
  }

  for (const storage of STORAGES) {
    test(`D15 ${storage}: with its credential a session ends, where Kong's database may be asked`, async (t) => {
      const kong = await kongDatabase();
      if (kong === undefined) return t.skip('needs KONG_DATABASE_URL, the database of this Kong');
      const person = await scene.person();
      const second = scene.name('key');
      const path = `/consumers/${person.id}/key-auth`;
      const { id } = await scene.admin.create(path, { key: second });
      await kong.put({ id, key: second });
      await kong.put(person.keys[0]);
      const config = { storage, consumer_ttl: 1, kong_database_url: kong.url };
      const site = await scene.setUp({ ...config, postgres: scene.postgres });
      const doomed = await site.signIn(person, site.browser(), { id, key: second });
      const other = await site.signIn(person);
      for (const { browser } of [doomed, other]) assertOk(await browser.get(), person);
      await scene.admin.delete(`${path}/${id}`);
      await kong.remove(id);
      await new Clock().at(2.5);
      const denied = await doomed.browser.copy().get();
      assertDenied(denied);
      assertDeleted(denied, doomed.reply.setCookies);
      assertOk(await other.browser.get(), person);
    });

    test(`D15 ${storage}: while Kong's database does not answer, nobody is signed out`, async (t) => {
      const kong = await kongDatabase();
      if (kong?.rename === undefined)
        return t.skip('the database of a real Kong is not ours to break');
      const person = await scene.person();
      await kong.put(person.keys[0]);
      const config = { storage, consumer_ttl: 1, kong_database_url: kong.url };
      const site = await scene.setUp({ ...config, postgres: scene.postgres });
      const { browser } = await site.signIn(person);
      const clock = new Clock();
      await kong.rename();
      for (const second of [0, 2, 4]) {
        await clock.at(second);
        assertOk(await browser.get(), person, `after ${second} s`);
      }
    });
  }

  interface KongDatabase {
    readonly url: string;
    put(key: { readonly id: string; readonly key: string }): Promise<void>;
    remove(id: string): Promise<void>;
    /** Questions to it fail from now on. */
    readonly rename?: () => Promise<void>;
  }

  /** Kong's database; the stand-in has none, so its credentials are written to tables like Kong's. */
  async function kongDatabase(): Promise<KongDatabase | undefined> {
    const given = process.env['KONG_DATABASE_URL'];
    const nothing = { put: async () => {}, remove: async () => {} };
    if (isRealKong) return given === undefined ? undefined : { url: given, ...nothing };
    const schema = `kong_${randomUUID().replaceAll('-', '')}`;
    await scene.rows(`create schema ${schema}`);
    for (const table of KONG_TABLES) await scene.rows(`create table ${schema}.${table}`);
    const url = new URL(scene.kong.databaseUrl);
    url.searchParams.set('options', `-c search_path=${schema}`);
    const keys = `${schema}.keyauth_credentials`;
    return {
      url: url.href,
      put: async ({ id, key }) => {
        await scene.rows(`insert into ${keys} (id, key) values ($1, $2)`, [id, key]);
      },
      remove: async (id) => {
        await scene.rows(`delete from ${keys} where id = $1`, [id]);
      },
      rename: async () => {
        await scene.rows(`alter schema ${schema} rename to ${schema}_away`);
      },
    };
  }
});

/** What the plugin reads of the tables of Kong's auth plugins. */
const KONG_TABLES = [
  'keyauth_credentials (id uuid primary key, key text, ttl timestamptz)',
  'basicauth_credentials (id uuid primary key, password text)',
  'jwt_secrets (id uuid primary key, secret text, rsa_public_key text)',
  'hmacauth_credentials (id uuid primary key, secret text)',
  'oauth2_credentials (id uuid primary key, client_secret text)',
];

/** Neither as text nor as octets. */
function assertAbsent(stored: string, text: string): void {
  assert.equal(stored.includes(text), false);
  assert.equal(stored.includes(Buffer.from(text).toString('hex')), false);
  assert.equal(stored.includes(Buffer.from(text).toString('base64url')), false);
}
