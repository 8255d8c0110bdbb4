import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Browser, Frame, Page } from 'playwright-core';
import { Scene, type Site } from '../e2e/support/scene.ts';
import { openBrowser, skipWithoutChromium } from '../support/browser.ts';
import { openForeignSite } from './support/foreign-site.ts';
import { answerTo, enter, inProfile, nameOn, visit } from './support/visits.ts';

/* What the pages of others can do to somebody who is signed in, in a browser that knows whose cookies are whose. */
describe('foreign sites', { skip: skipWithoutChromium(), concurrency: 4 }, () => {
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

  /** In a tab of a browser profile of its own. */
  const inTab = (scenario: (page: Page) => Promise<void>): Promise<void> =>
    inProfile(browser, async (context) => scenario(await context.newPage()));

  /** While a page of this HTML is there, on a host of its own. */
  async function withPage(
    domain: string,
    html: string,
    scenario: (url: string) => Promise<void>,
  ): Promise<void> {
    const foreign = await openForeignSite(scene, `${scene.name('evil')}.${domain}`, html);
    try {
      await scenario(foreign.url);
    } finally {
      await foreign.close();
    }
  }

  const urlOf = ({ host }: Site): string => `https://${host}/`;

  const TRAPS = (url: string) => `
    <img src="${url}?session_logout=image" alt="">
    <form method="post" action="${url}?session_logout=form"><button>Win</button></form>
    <a href="${url}">Read on</a>`;

  interface Allowance {
    /** Whether an image of a foreign page is asked for with the cookie. */
    readonly image: boolean;
    /** How requests of a foreign page are answered: 200 with the session, 403 without. */
    readonly form: number;
    readonly link: number;
    /** Whether the session outlasts them. */
    readonly survives: boolean;
  }
  const ALLOWED: Readonly<Record<string, Allowance>> = {
    Strict: { image: false, form: 403, link: 403, survives: true },
    Lax: { image: false, form: 403, link: 200, survives: true },
    // Whoever chooses None has chosen this. Where the browser blocks third-party cookies, as it does here and in
    // private windows, it is no use for images all the same.
    None: { image: false, form: 200, link: 403, survives: false },
  };
  for (const [sameSite, allowed] of Object.entries(ALLOWED)) {
    test(`SameSite=${sameSite}: what a foreign image, form and link may do`, async () => {
      const site = await scene.setUp({ storage: 'kong', cookie_same_site: sameSite });
      const url = urlOf(site);
      await withPage('foreign.test', TRAPS(url), (trap) =>
        inTab(async (page) => {
          await enter(page, url, scene.alice);
          const image = page.waitForRequest(`${url}?session_logout=image`);
          await page.goto(trap);
          // The browser shows no answer that is not an image.
          const { cookie } = await (await image).allHeaders();
          assert.equal(cookie !== undefined, allowed.image);
          assert.equal(await visit(page, url), scene.alice.username, 'after the image');
          await page.goto(trap);
          const form = await answerTo(page, `${url}?session_logout=form`, () =>
            page.getByRole('button').click(),
          );
          assert.equal(form.status(), allowed.form);
          await page.goto(trap);
          const link = await answerTo(page, url, () => page.getByRole('link').click());
          assert.equal(link.status(), allowed.link);
          const survivor = allowed.survives ? scene.alice.username : undefined;
          assert.equal(await visit(page, url), survivor, 'after all of them');
        }),
      );
    });
  }

  test('a foreign script may neither send a DELETE nor read an answer', async () => {
    const site = await scene.setUp({ storage: 'kong', cookie_same_site: 'None' });
    const url = urlOf(site);
    await withPage('foreign.test', '', (trap) =>
      inTab(async (page) => {
        await enter(page, url, scene.alice);
        await page.goto(trap);
        const result = (method: string) =>
          page.evaluate(
            ([target, verb]) =>
              fetch(target ?? '', { method: verb ?? '', credentials: 'include' }).then(
                () => 'read',
                () => 'refused',
              ),
            [`${url}?session_logout=1`, method],
          );
        assert.equal(await result('DELETE'), 'refused');
        assert.equal(await result('GET'), 'refused');
        assert.equal(await visit(page, url), scene.alice.username);
      }),
    );
  });

  /** A page that sets cookies for the whole domain. */
  const tosser = (...cookies: string[]) =>
    `<script>for (const cookie of ${JSON.stringify(cookies)}) document.cookie = cookie;</script>`;
  const TOSSED = '; domain=xyz.test; secure';

  /** A site below xyz.test, and Bob's own session there as he would give it to others. */
  async function targeted(config: object): Promise<{ site: Site; name: string; ofBob: string }> {
    const host = `${scene.name('api')}.xyz.test`;
    const site = await scene.setUp({ storage: 'kong', ...config }, { host });
    const { browser: bob } = await site.signIn(scene.bob);
    return { site, name: site.cookieName, ofBob: bob.cookie(site.cookieName) };
  }

  test('a sibling tosses worthless cookies of our name: the session goes on', async () => {
    const { site, name } = await targeted({});
    const url = urlOf(site);
    const junk = [`${name}=junk; path=/${TOSSED}`, `${name}=a.b.c.d.e; path=/account${TOSSED}`];
    await withPage('xyz.test', tosser(...junk), (evil) =>
      inTab(async (page) => {
        await enter(page, url, scene.alice);
        await page.goto(evil);
        assert.equal((await page.context().cookies(`${url}account`)).length, 3, 'it has tossed');
        for (const path of ['', 'account']) {
          assert.equal(await visit(page, `${url}${path}`), scene.alice.username, path);
        }
      }),
    );
  });

  test('a sibling tosses its own session: a plain name is taken, __Host- is not', async () => {
    for (const prefix of ['', '__Host-']) {
      const { site, name, ofBob } = await targeted(prefix === '' ? {} : { cookie_prefix: prefix });
      const url = urlOf(site);
      await withPage('xyz.test', tosser(`${name}=${ofBob}; path=/account${TOSSED}`), (evil) =>
        inTab(async (page) => {
          await enter(page, url, scene.alice);
          await page.goto(evil);
          // Of two genuine sessions nobody can tell which one is meant: browsers send the longer path first.
          const expected = prefix === '' ? scene.bob : scene.alice;
          assert.equal(await visit(page, `${url}account`), expected.username);
          assert.equal(await visit(page, url), scene.alice.username);
        }),
      );
    }
  });

  test('__Host-: siblings neither get the cookie nor can take its place', async () => {
    const { site, name, ofBob } = await targeted({ cookie_prefix: '__Host-' });
    const url = urlOf(site);
    const attempts = [`${name}=${ofBob}; path=/${TOSSED}`, `${name}=${ofBob}; path=/; secure`];
    await withPage('xyz.test', tosser(...attempts), (evil) =>
      inTab(async (page) => {
        await enter(page, url, scene.alice);
        await page.goto(evil);
        const ours = await page.context().cookies(url);
        assert.deepEqual(
          ours.map(({ name: own, domain, path, secure }) => [own, domain, path, secure]),
          [[name, site.host, '/', true]],
        );
        assert.notEqual(ours[0]?.value, ofBob);
        const theirs = await page.context().cookies(evil);
        assert.deepEqual(
          theirs.map(({ domain, value }) => [domain, value]),
          [[new URL(evil).hostname, ofBob]],
          'all that it can do is to set one for itself',
        );
        assert.equal(await visit(page, url), scene.alice.username);
      }),
    );
  });

  const frameOf = (url: string) => `<iframe src="${url}"></iframe>`;

  /** Whom the site in the page's frame takes the visitor for. */
  async function nameInFrame(page: Page, embedder: string): Promise<string | undefined> {
    await page.goto(embedder);
    const frame = page.frames().find((each: Frame) => each.parentFrame() !== null);
    assert.ok(frame);
    return nameOn(frame);
  }

  test('Partitioned: an iframe has a session of its own below each embedding site', async () => {
    for (const cookie_partitioned of [true, false]) {
      const config = { storage: 'kong', cookie_same_site: 'None', cookie_partitioned };
      const url = urlOf(await scene.setUp(config));
      const signIn = frameOf(`${url}?apikey=${scene.alice.keys[0].key}`);
      await withPage('first.test', signIn, (entrance) =>
        withPage('first.test', frameOf(url), (first) =>
          withPage('second.test', frameOf(url), (second) =>
            inTab(async (page) => {
              const { username } = scene.alice;
              assert.equal(await nameInFrame(page, entrance), username, 'by the key');
              // Where the browser blocks third-party cookies, as it does here, no other gets into a frame.
              const below = cookie_partitioned ? username : undefined;
              assert.equal(
                await nameInFrame(page, first),
                below,
                `partitioned ${cookie_partitioned}`,
              );
              assert.equal(await nameInFrame(page, second), undefined, 'below another site');
              assert.equal(await visit(page, url), undefined, 'by itself');
            }),
          ),
        ),
      );
    }
  });
});
