import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { echoOf, type Reply } from '../support/client.ts';
import { assertOk } from './support/assertions.ts';
import { Forger, wholeSession } from './support/forger.ts';
import { missingPlugin } from './support/plugins.ts';
import { newSecret, Scene, type Site } from './support/scene.ts';
import { until } from './support/waiting.ts';

const STORAGES = ['kong', 'cookie'] as const;
const GROUPS = ['agents', 'doubleagents'];

/** Signs people in with groups, as ldap-auth or oauth2 would; only together with a key, so at the sign-in alone. */
const signInWith = (groups: readonly string[]) => ({
  name: 'pre-function',
  config: {
    access: [
      `if kong.request.get_header("apikey") then
        ngx.ctx.authenticated_groups = { ${groups.map((group) => JSON.stringify(group)).join(', ')} }
      end`,
    ],
  },
});

describe('groups of a session', { concurrency: 8 }, () => {
  let scene: Scene;
  before(async () => {
    scene = await Scene.open();
  });
  after(() => scene.close());

  /** A cookie of a session with groups, made by somebody who has the secret: no plugin of the stand-in sets any. */
  async function withGroups(storage: string): Promise<{ site: Site; cookie: string }> {
    const secret = newSecret();
    const config = { storage, secret, response_headers: ['id'], cache_ttl: 0 };
    const site = await scene.setUp(config);
    const person = await scene.person();
    const { username } = person;
    const groups = GROUPS;
    if (storage === 'cookie') {
      const forger = new Forger(secret, 'session cookie ');
      const value = forger.seal(wholeSession(person.id, { d: { username, groups } }));
      return { site, cookie: `session=${value}` };
    }
    const { reply, cookie } = await site.signIn(person);
    const forger = new Forger(secret, `session kong ${scene.postgres.schema}`);
    const handle = String(reply.headers['session-id']);
    await forger.rewriteRow(scene, handle, { username, groups });
    return { site, cookie };
  }

  for (const storage of STORAGES) {
    test(`S-007 ${storage}: the upstream hears of the groups of the sign-in`, async () => {
      const { site, cookie } = await withGroups(storage);
      const claims = { 'X-Authenticated-Groups': 'root', 'X-Consumer-Groups': 'root' };
      const reply = await site.browser().ask({ cookie, headers: claims });
      assert.deepEqual(groupsIn(reply), [GROUPS.join(', '), undefined]);
    });

    test(`S-008 ${storage}: acl goes by them`, async () => {
      for (const [group, status] of [
        ['doubleagents', 200],
        ['gold', 403],
      ] as const) {
        const { site, cookie } = await withGroups(storage);
        await guardBy(group, site);
        const reply = await site.browser().ask({ cookie });
        assert.equal(reply.status, status, reply.body);
        if (status === 403) assert.match(reply.body, /You cannot consume this service/);
      }
    });

    test(`S-007 ${storage}: groups of an auth plugin are kept with the session`, async (t) => {
      const missing = await missingPlugin(scene, 'pre-function');
      if (missing !== undefined) return t.skip(missing);
      const site = await scene.setUp({ storage }, { plugins: [signInWith(GROUPS)] });
      const { reply, browser } = await site.signIn(scene.alice);
      assert.deepEqual(groupsIn(reply), [GROUPS.join(', '), undefined]);
      const later = await browser.get();
      assertOk(later, scene.alice);
      assert.deepEqual(groupsIn(later), [GROUPS.join(', '), undefined]);
    });

    test(`S-101 ${storage}: groups of the sign-in last until the next one`, async (t) => {
      const missing = await missingPlugin(scene, 'pre-function');
      if (missing !== undefined) return t.skip(missing);
      const site = await scene.setUp({ storage }, { plugins: [signInWith(['gold'])] });
      const { browser } = await site.signIn(scene.alice);
      assert.deepEqual(groupsIn(await browser.get()), ['gold', undefined]);
      const other = await scene.setUp({ storage }, { plugins: [signInWith(['silver'])] });
      const again = await other.signIn(scene.alice);
      assert.deepEqual(groupsIn(await again.browser.get()), ['silver', undefined]);
    });

    test(`S-101 ${storage}: who leaves a group of Kong's is out with the next request`, async () => {
      const person = await scene.person();
      const acl = { name: 'acl', config: { deny: ['banned'] } };
      const site = await scene.setUp({ storage }, { plugins: [acl] });
      const { browser } = await site.signIn(person);
      assertOk(await browser.get(), person);
      const path = `/consumers/${person.id}/acls`;
      const { id } = await scene.admin.create(path, { group: 'banned' });
      const isRefused = async () => (await browser.get()).status === 403;
      await until('acl knows of the group', isRefused);
      await scene.admin.delete(`${path}/${id}`);
      await until('acl knows of its end', async () => !(await isRefused()));
      assertOk(await browser.get(), person);
    });

    test(`S-123 ${storage}: ten thousand octets of groups`, async (t) => {
      const missing = await missingPlugin(scene, 'pre-function');
      if (missing !== undefined) return t.skip(missing);
      const groups = Array.from({ length: 60 }, (_, index) => `group-${index}-`.padEnd(165, 'x'));
      const site = await scene.setUp({ storage }, { plugins: [signInWith(groups)] });
      const { reply } = await site.signIn(scene.alice);
      const cookie = reply.setCookies.map((line) => line.split(';')[0] ?? '');
      for (const pair of cookie) assert.ok(pair.length <= 4096);
      const later = await site.browser().ask({ cookie });
      assertOk(later, scene.alice);
      assert.deepEqual(groupsIn(later), [groups.join(', '), undefined]);
    });
  }

  /** Adds acl to a route, after its set-up, whose own requests acl would refuse. */
  async function guardBy(group: string, site: Site): Promise<void> {
    await scene.admin.create(`/routes/${site.route.id}/plugins`, {
      name: 'acl',
      config: { allow: [group], always_use_authenticated_groups: true },
    });
    const headers = { apikey: scene.bob.keys[0].key };
    const isGuarded = async () => (await site.browser().ask({ headers })).status === 403;
    await until('acl guards the route', isGuarded);
  }
});

const groupsIn = (reply: Reply): unknown[] => {
  const { headers } = echoOf(reply);
  return [headers['x-authenticated-groups'], headers['x-consumer-groups']];
};
