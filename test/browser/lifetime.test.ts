import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { Scene, type Site } from '../e2e/support/scene.ts';
import { Clock, until } from '../e2e/support/waiting.ts';
import { openBrowser, openProfile, skipWithoutChromium } from '../support/browser.ts';
import { enter, goBack, inProfile, nameOn, visit } from './support/visits.ts';

/* Sessions in tabs, in the history and over restarts of a browser. */
describe(
  'the life of a session in a browser',
  { skip: skipWithoutChromium(), concurrency: 4 },
  () => {
    let scene: Scene;
    let browser: Browser;
    before(async () => {
      scene = await Scene.open();
      browser = await openBrowser(scene.kong.nodes[0]);
    });
    after(async () => {
      await browser?.close();
      await scene?.close();
    });

    const urlOf = ({ host }: Site): string => `https://${host}/`;

    /** The statuses of requests that the page makes all at once. */
    const askAtOnce = (page: Page, paths: readonly string[]): Promise<number[]> =>
      page.evaluate(
        (all) => Promise.all(all.map((path) => fetch(path).then(({ status }) => status))),
        paths,
      );
    const PATHS = ['/1', '/2', '/3', '/4', '/5'];

    test('two tabs at the renewal mark make one successor, and both stay in', async () => {
      const config = { storage: 'kong', rolling_timeout: 24, cookie_renew: 12 };
      const url = urlOf(await scene.setUp(config));
      const person = await scene.person();
      await inProfile(browser, async (context) => {
        const [first, second] = [await context.newPage(), await context.newPage()];
        for (const tab of [first, second]) assert.equal(await visit(tab, url), undefined);
        assert.deepEqual(await askAtOnce(first, [`/?apikey=${person.keys[0].key}`]), [200]);
        const clock = new Clock();
        const valueNow = async () => (await context.cookies(url))[0]?.value;
        const atSignIn = await valueNow();
        await clock.at(12.5);
        const all = await Promise.all([askAtOnce(first, PATHS), askAtOnce(second, PATHS)]);
        assert.deepEqual(
          all.flat(),
          Array.from({ length: 10 }, () => 200),
        );
        assert.notEqual(await valueNow(), atSignIn);
        assert.deepEqual(await generationsOf(person.id), [1]);
        // The time of the first cookie is over by now.
        await clock.at(25);
        for (const tab of [first, second]) assert.equal(await visit(tab, url), person.username);
      });
    });

    async function generationsOf(consumer: string): Promise<number[]> {
      const query = 'select generation from :SCHEMA.sessions where consumer_id = $1';
      const rows = await scene.rows<{ generation: number }>(query, [consumer]);
      return rows.map(({ generation }) => generation);
    }

    /** Alice's page, then another one, the sign-out, and back: whom the page that is shown then names. */
    async function nameAfterReturn(site: Site): Promise<string | undefined> {
      let shown: string | undefined;
      await inProfile(browser, async (context) => {
        const page = await context.newPage();
        await enter(page, urlOf(site), scene.alice);
        const account = `${urlOf(site)}account`;
        assert.equal(await visit(page, account), scene.alice.username);
        await page.goto(`${urlOf(site)}elsewhere`);
        const status = await page.evaluate(() =>
          fetch('/?session_logout=1', { method: 'DELETE' }).then((answer) => answer.status),
        );
        assert.equal(status, 200);
        await goBack(page);
        await until('the page before', async () => page.url() === account);
        shown = await nameOn(page);
      });
      return shown;
    }

    test('the back button after a sign-out: logout_clear_site_data takes the pages with it', async () => {
      const plain = await scene.setUp({ storage: 'kong' });
      assert.equal(await nameAfterReturn(plain), scene.alice.username, 'an upstream says nothing');
      const config = { storage: 'kong', logout_clear_site_data: ['cache'] };
      assert.equal(await nameAfterReturn(await scene.setUp(config)), undefined);
    });

    test('remember: after a restart of the browser its user is still signed in', async (t) => {
      const folder = await mkdtemp(join(tmpdir(), 'session-guard-profile-'));
      t.after(() => rm(folder, { recursive: true, force: true }));
      const [node] = scene.kong.nodes;
      const remembering = urlOf(await scene.setUp({ storage: 'kong', remember: true }));
      const forgetting = urlOf(await scene.setUp({ storage: 'kong' }));
      const run = async (scenario: (page: Page) => Promise<void>): Promise<void> => {
        const context = await openProfile(folder, node);
        try {
          await scenario(await context.newPage());
        } finally {
          await context.close();
        }
      };
      const namesOn = async (page: Page, url: string): Promise<string[]> =>
        (await page.context().cookies(url)).map(({ name }) => name).toSorted();
      await run(async (page) => {
        for (const url of [remembering, forgetting]) await enter(page, url, scene.alice);
        assert.deepEqual(await namesOn(page, remembering), ['remember', 'session']);
      });
      await run(async (page) => {
        assert.deepEqual(await namesOn(page, remembering), ['remember']);
        assert.equal(await visit(page, remembering), scene.alice.username);
        assert.deepEqual(await namesOn(page, remembering), ['remember', 'session']);
        assert.equal(await visit(page, forgetting), undefined);
        const signOut = () => fetch('/?session_logout=1', { method: 'DELETE' });
        await page.goto(remembering);
        await page.evaluate(signOut);
        assert.deepEqual(await namesOn(page, remembering), []);
      });
      await run(async (page) => assert.equal(await visit(page, remembering), undefined));
    });
  },
);
