import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { Client } from 'pg';
import type { Browser, Reply } from '../support/client.ts';
import { assertDenied, assertOk, isDenied, nameIn } from './support/assertions.ts';
import { type Person, Scene, type SignedIn, type Site } from './support/scene.ts';
import { Clock, inParallel, until } from './support/waiting.ts';

const STORAGES = ['kong', 'cookie'] as const;
const LOGOUT = { method: 'DELETE', path: '/?session_logout=true' };

describe('many requests', { concurrency: 3 }, () => {
  let scene: Scene;
  before(async () => {
    scene = await Scene.open();
  });
  after(() => scene.close());

  test('S-028: five hundred requests write a handful of times', async () => {
    const person = await scene.person();
    const site = await scene.setUp({ storage: 'kong' });
    const { browser } = await site.signIn(person);
    const written = await countWrites(person);
    await inParallel(Array.from({ length: 500 }), 8, async () => {
      assertOk(await browser.get(), person);
    });
    // The first presentation, and what a minute's interval may add.
    await until('the first use is written', async () => (await written()) > 0);
    assert.ok((await written()) <= 3, `${await written()} writes`);
  });

  /** Counts what happens to the rows of one person from now on. */
  async function countWrites({ id }: Person): Promise<() => Promise<number>> {
    const name = scene.name('writes').replaceAll('-', '_');
    await scene.rows(`create sequence :SCHEMA.${name}`);
    await scene.rows(
      `create function :SCHEMA.${name}() returns trigger language plpgsql as
       $$ begin perform nextval(':SCHEMA.${name}'); return null; end $$`,
    );
    await scene.rows(
      `create trigger ${name} after update on :SCHEMA.sessions for each row
       when (new.consumer_id = '${id}') execute function :SCHEMA.${name}()`,
    );
    return async () => {
      const [row] = await scene.rows<{ count: number }>(
        `select case when is_called then last_value else 0 end::integer as count from :SCHEMA.${name}`,
      );
      return row?.count ?? 0;
    };
  }

  test('S-039, S-040: what has expired is cleaned away, and nobody need sign in for it', async () => {
    const person = await scene.person();
    const site = await scene.setUp({ storage: 'kong', rolling_timeout: 2 });
    await inParallel(Array.from({ length: 300 }), 8, () => site.signIn(person));
    assert.ok((await scene.sessionsOf(person)) > 0);
    const isGone = async () => (await scene.sessionsOf(person)) === 0;
    await until('all rows are gone', isGone, { limit: 45_000, every: 500 });
  });

  /** Signs in so many times. The clock begins with the last of them. */
  async function crowd(site: Site, count: number, person: Person) {
    const list = Array.from({ length: count });
    const signedIn: SignedIn[] = await inParallel(list, 8, () => site.signIn(person));
    return { clock: new Clock(), signedIn };
  }

  test('S-042: some renew while others sign out, and nobody is taken for another', async () => {
    const config = { rolling_timeout: 24, cookie_renew: 12, idling_timeout: 0 };
    const site = await scene.setUp({
      storage: 'kong',
      stale_ttl: 2,
      revoke_on_replay: false,
      ...config,
    });
    const { clock, signedIn } = await crowd(site, 60, scene.alice);
    const leaving = signedIn.slice(0, 30);
    const staying = signedIn.slice(30);
    await clock.at(13);
    await Promise.all([
      inParallel(leaving, 8, async ({ browser, cookie }) => {
        assert.equal((await browser.ask({ ...LOGOUT, cookie })).status, 200);
      }),
      inParallel(staying, 8, async ({ browser }) => assertOk(await browser.get(), scene.alice)),
    ]);
    const renewed = staying.filter(({ browser, cookie }) => browser.cookies() !== cookie);
    assert.equal(renewed.length, staying.length, 'all of them were due');
    await inParallel(staying, 8, async ({ browser }) => assertOk(await browser.get(), scene.alice));
    const presentedAt = clock.elapsed;
    await clock.at(presentedAt + 3.5);
    await inParallel(signedIn, 8, async ({ browser, cookie }) => {
      assertDenied(await browser.ask({ cookie }), 'signed out, or replaced');
    });
    await inParallel(staying, 8, async ({ browser }) => assertOk(await browser.get(), scene.alice));
  });

  test('S-046: whatever a race with a logout hands out is worth nothing after it', async () => {
    const config = { rolling_timeout: 30, cookie_renew: 15, idling_timeout: 0 };
    const site = await scene.setUp({ storage: 'kong', ...config });
    const { clock, signedIn } = await crowd(site, 15, scene.alice);
    await clock.at(16);
    for (const { browser, cookie } of signedIn) {
      const handedOut = new Set([cookie]);
      const race = async (index: number): Promise<void> => {
        if (index === 10) {
          assert.equal((await browser.ask({ ...LOGOUT, cookie })).status, 200);
          return;
        }
        const { setCookies } = await browser.ask({ cookie });
        for (const line of setCookies) handedOut.add(line.split(';')[0] ?? '');
      };
      await Promise.all(Array.from({ length: 20 }, (_, index) => race(index)));
      for (const left of handedOut) {
        if (left !== 'session=') assertDenied(await browser.ask({ cookie: left }));
      }
    }
  });

  test('S-051: cookies that nobody sealed never reach the database', async () => {
    const schema = `${scene.postgres.schema}_locked`;
    const postgres = { ...scene.postgres, schema, statement_timeout: 1 };
    const site = await scene.setUp({ storage: 'kong', postgres, cache_ttl: 0 });
    const { browser } = await site.signIn(scene.alice);
    const [header] = browser.cookie().split('.');
    const random = (length: number): string => randomBytes(length).toString('base64url');
    const forged = () => `session=${header}..${random(12)}.${random(140)}.${random(16)}`;
    const holder = new Client({ connectionString: scene.kong.databaseUrl });
    await holder.connect();
    try {
      await holder.query(`begin; lock table ${schema}.sessions in access exclusive mode`);
      assert.equal((await browser.get()).status, 503, 'who asks the database waits in vain');
      await inParallel(Array.from({ length: 500 }), 8, async () => {
        assertDenied(await site.browser().ask({ cookie: forged() }));
      });
    } finally {
      await holder.end();
    }
    await until('the database answers again', async () => (await browser.get()).status === 200);
    await scene.rows(`drop schema ${schema} cascade`);
  });

  for (const storage of STORAGES) {
    test(`S-053 ${storage}: new instances take over from old ones, sessions and connections included`, async () => {
      const url = new URL(scene.postgres.url);
      const name = scene.name('pool');
      url.searchParams.set('application_name', name);
      const postgres = { ...scene.postgres, url: url.href, pool_size: 3 };
      const site = await scene.setUp({ storage, postgres });
      const { browser, cookie } = await site.signIn(scene.alice);
      for (const unauthenticated of ['deny', 'continue', 'deny', 'continue']) {
        await site.configure({ unauthenticated });
        assertOk(await browser.ask({ cookie }), scene.alice);
      }
      await inParallel(Array.from({ length: 50 }), 16, async () => {
        assertOk(await browser.ask({ cookie }), scene.alice);
      });
      const [row] = await scene.rows<{ count: number }>(
        'select count(*)::integer as count from pg_stat_activity where application_name = $1',
        [name],
      );
      // The pool, and one that listens.
      const count = row?.count ?? 0;
      assert.ok(count >= 1 && count <= 4, `${count} connections`);
    });
  }
});

/** By themselves: nothing else could be asked of a node meanwhile. */
describe('a plugin server that is killed', () => {
  let scene: Scene;
  before(async () => {
    scene = await Scene.open();
  });
  after(() => scene.close());

  for (const storage of STORAGES) {
    test(`S-054 ${storage}: the plugin server is killed, and nobody is let in as somebody`, async (t) => {
      const [gateway] = scene.kong.gateways;
      if (gateway === undefined)
        return t.skip('the plugin server of a real Kong is not ours to kill');
      const site = await scene.setUp({ storage });
      const { browser, cookie } = await site.signIn(scene.alice);
      const stranger = site.browser();
      const seen = new Set<string>();
      const look = async (who: Browser, ask: object, name: string): Promise<void> => {
        const reply = await who.ask({ ...ask, fresh: true }).catch(() => undefined);
        seen.add(`${name} ${reply === undefined ? 'closed' : outcome(reply)}`);
      };
      gateway.killPluginServer('SIGKILL');
      await inParallel(Array.from({ length: 150 }), 8, async (_, index) => {
        if (index % 2 === 0) await look(browser, { cookie }, 'signed in');
        else await look(stranger, { cookie: 'session=x' }, 'stranger');
      });
      for (const what of seen) assert.match(what, ALLOWED, [...seen].join(', '));
      await until('it is back', async () => (await browser.ask({ cookie })).status === 200);
      assertOk(await browser.ask({ cookie }), scene.alice);
    });
  }

  const outcome = (reply: Reply): string => {
    if (reply.status === 200)
      return `as ${nameIn(reply) === scene.alice.username ? 'alice' : 'somebody'}`;
    return isDenied(reply) ? 'denied' : String(reply.status);
  };
});

const ALLOWED = /^(signed in (as alice|denied|5\d\d|closed)|stranger (denied|5\d\d|closed))$/;
