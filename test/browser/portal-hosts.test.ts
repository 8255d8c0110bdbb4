import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Browser, BrowserContext, Cookie } from 'playwright-core';
import { Scene } from '../e2e/support/scene.ts';
import { openBrowser, skipWithoutChromium } from '../support/browser.ts';
import {
  hears,
  open,
  seesAccount,
  seesForm,
  sessions,
  signIn,
  signInWithKey,
  signOut,
  staySignedIn,
} from './support/portal-page.ts';
import { openPortalSite, type PortalSite } from './support/portal-site.ts';
import { answerTo, inProfile } from './support/visits.ts';

/*
 * The set-ups of the Dev Portal's documentation, with its own field values but for the secret: GUI and API on one
 * host, on siblings, over plain HTTP. And how long their sessions last.
 */
describe('hosts of a portal', { skip: skipWithoutChromium(), concurrency: 4 }, () => {
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

  /** Runs at a portal and in a browser profile of its own. */
  async function at(
    addresses: { gui: string; api: string },
    session: object,
    scenario: (site: PortalSite, context: BrowserContext) => Promise<void>,
  ): Promise<void> {
    const site = await openPortalSite(scene, addresses, session);
    try {
      await inProfile(browser, (context) => scenario(site, context));
    } finally {
      await site.close();
    }
  }

  const siblings = (scheme = 'https') => {
    const [gui, api] = [scene.name('portal'), scene.name('portalapi')];
    return { gui: `${scheme}://${gui}.xyz.test`, api: `${scheme}://${api}.xyz.test` };
  };
  const oneHost = (scheme = 'https') => {
    const gui = `${scheme}://${scene.name('portal')}.xyz.test`;
    return { gui, api: `${gui}/api` };
  };

  /** In, still in after a reload, out; resolves with the cookie as the browser kept it. */
  async function comeAndGo(site: PortalSite, context: BrowserContext): Promise<Cookie> {
    const page = await open(context, site.gui);
    await signIn(page, site.account);
    await seesAccount(page);
    const [cookie, ...others] = await context.cookies();
    assert.ok(cookie);
    assert.deepEqual(others, []);
    await page.reload();
    await seesAccount(page);
    assert.equal(await page.locator('#account-username').textContent(), site.account.username);
    assert.equal(await sessions(page).count(), 1);
    await signOut(page);
    await hears(page, 'You are signed out.');
    assert.deepEqual(await context.cookies(), []);
    await context.addCookies([cookie]);
    await page.reload();
    await seesForm(page);
    return cookie;
  }

  const hostOf = (address: string) => new URL(address).hostname;

  test('GUI and API on the same domain, HTTPS', async () => {
    const session = { cookie_name: '$4m04$', storage: 'kong', cookie_secure: true };
    await at(oneHost(), session, async (site, context) => {
      const { name, domain, secure, sameSite } = await comeAndGo(site, context);
      assert.deepEqual(
        [name, domain, secure, sameSite],
        ['$4m04$', hostOf(site.gui), true, 'Strict'],
      );
    });
  });

  test('GUI and API on sibling sub-domains', async () => {
    const session = {
      storage: 'kong',
      cookie_name: 'portal_session',
      cookie_domain: '.xyz.test',
      cookie_secure: false,
      rolling_timeout: 31_557_600,
      cookie_same_site: 'Lax',
    };
    await at(siblings(), session, async (site, context) => {
      const { domain, secure, sameSite } = await comeAndGo(site, context);
      assert.deepEqual([domain, secure, sameSite], ['.xyz.test', false, 'Lax']);
    });
  });

  test('GUI and API on sibling sub-domains: __Host- for the API alone, Strict, will do', async () => {
    await at(siblings(), { cookie_prefix: '__Host-' }, async (site, context) => {
      const { name, domain, path, secure, sameSite } = await comeAndGo(site, context);
      assert.deepEqual(
        [name, domain, path, secure, sameSite],
        ['__Host-portal_session', hostOf(site.api), '/', true, 'Strict'],
      );
    });
  });

  test('plain HTTP, for testing', async () => {
    const session = { cookie_name: '04tm34l', storage: 'kong', cookie_secure: false };
    await at(siblings('http'), session, async (site, context) => {
      const { secure, sameSite } = await comeAndGo(site, context);
      assert.deepEqual([secure, sameSite], [false, 'Strict']);
    });
  });

  test('plain HTTP without cookie_secure: false: the browser refuses the cookie', async () => {
    await at(oneHost('http'), {}, async (site, context) => {
      const page = await open(context, site.gui);
      await signInWithKey(page, site.account);
      await hears(page, 'Your session has ended.');
      assert.deepEqual(await context.cookies(), []);
    });
  });

  test('the page counts down, warns and ends; only what the user does prolongs', async () => {
    await at(siblings(), { idling_timeout: 8 }, async (site, context) => {
      const page = await open(context, site.gui);
      /** The seconds left by the answer that `work` makes the page receive. */
      const leftAfter = async (work: () => Promise<unknown>): Promise<number> => {
        const answer = await answerTo(page, `${site.api}/whoami`, work);
        return Number(await answer.headerValue('session-timeout'));
      };
      const becomeVisible = () =>
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))");
      await signIn(page, site.account);
      await hears(page, 'Your session is about to end.');
      assert.match((await page.getByRole('timer').textContent()) ?? '', /^0:0[0-8]$/);
      await sleep(2500);
      const left = await leftAfter(becomeVisible);
      assert.ok(left <= 6, `what the page asks by itself leaves ${left} s`);
      assert.equal(await leftAfter(() => staySignedIn(page)), 8);
      await hears(page, 'Your session has ended.');
      await seesForm(page);
    });
  });
});
