import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Browser, BrowserContext, Cookie, Page } from 'playwright-core';
import { seriousFindings } from '../support/accessibility.ts';
import { openBrowser, skipWithoutChromium } from '../support/browser.ts';
import { askLoopback } from '../support/demo/loopback.ts';
import { startDemo, type Demo } from '../support/demo/start.ts';
import {
  endTheOthers,
  hears,
  isWarned,
  open,
  seesAccount,
  seesForm,
  seesOutage,
  sessions,
  signIn,
  signInWithKey,
  signOut,
  signOutEverywhere,
  staySignedIn,
  tryAgain,
} from './support/portal-page.ts';
import { goBack } from './support/visits.ts';

/** The portal as somebody uses it: a real browser with its own rules for cookies, tabs and history. */
const skip = skipWithoutChromium();
const COOKIE = 'portal_session';

let demo: Demo;
let browser: Browser;

before(async () => {
  if (skip !== false) return;
  demo = await startDemo({ port: 0, 'ssl-port': 0, 'admin-port': 0 });
  browser = await openBrowser();
});

after(async () => {
  await browser?.close();
  await demo?.stop();
});

/** Runs in a browser profile of its own. */
function visit(title: string, scenario: (context: BrowserContext) => Promise<void>): void {
  void test(title, { skip }, async () => {
    const context = await browser.newContext({ ignoreHTTPSErrors: true });
    context.setDefaultTimeout(30_000);
    try {
      await scenario(context);
    } finally {
      await context.close();
    }
  });
}

const openPortal = (context: BrowserContext): Promise<Page> => open(context, demo.portalUrl);

async function sessionCookie(context: BrowserContext): Promise<Cookie | undefined> {
  return (await context.cookies(demo.apiUrl)).find(({ name }) => name === COOKIE);
}

/** The API's answer to somebody who copied the cookie. */
const replay = async (cookie: Cookie) => {
  const headers = { Cookie: `${cookie.name}=${cookie.value}` };
  return (await askLoopback(`${demo.apiUrl}/whoami`, { headers })).status;
};

visit('signing in shows the account, and a reload keeps the session', async (context) => {
  const page = await openPortal(context);
  await signIn(page, demo.account);
  await seesAccount(page);
  assert.equal(await page.locator('#account-username').textContent(), demo.account.username);
  await page.reload();
  await seesAccount(page);
  assert.equal(await page.locator('#account-username').textContent(), demo.account.username);
});

visit('a wrong password says so and leaves no session behind', async (context) => {
  const page = await openPortal(context);
  await signIn(page, { ...demo.account, password: 'not the password' });
  await isWarned(page, 'The user name or the password is wrong.');
  assert.equal(await page.getByRole('textbox', { name: 'Password' }).inputValue(), '');
  assert.deepEqual(await context.cookies(), []);
});

visit(
  'the browser keeps the cookie from scripts, from HTTP and from other sites',
  async (context) => {
    const page = await openPortal(context);
    await signIn(page, demo.account);
    await seesAccount(page);
    const cookie = await sessionCookie(context);
    assert.ok(cookie);
    const { domain, path, expires, httpOnly, secure, sameSite } = cookie;
    assert.deepEqual(
      { domain, path, expires, httpOnly, secure, sameSite },
      {
        domain: '.demo.localhost',
        path: '/',
        expires: -1, // until the browser ends
        httpOnly: true,
        secure: true,
        sameSite: 'Lax',
      },
    );
    assert.equal(await page.evaluate('document.cookie'), '');
  },
);

visit(
  'a second tab is signed in, and out at its next call after the first signs out',
  async (context) => {
    const first = await openPortal(context);
    await signIn(first, demo.account);
    await seesAccount(first);
    const second = await openPortal(context);
    await seesAccount(second);
    await signOut(first);
    await hears(first, 'You are signed out.');
    await staySignedIn(second);
    await hears(second, 'Your session has ended.');
    await seesForm(second);
  },
);

visit('a cookie copied before the sign-out is refused after it', async (context) => {
  const page = await openPortal(context);
  await signIn(page, demo.account);
  await seesAccount(page);
  const copy = await sessionCookie(context);
  assert.ok(copy);
  assert.equal(await replay(copy), 200);
  await signOut(page);
  await seesForm(page);
  assert.equal(await replay(copy), 403);
  assert.equal(await sessionCookie(context), undefined, 'the browser deleted its own copy');
});

visit('the back button after a sign-out shows no account data', async (context) => {
  const page = await openPortal(context);
  await signIn(page, demo.account);
  await seesAccount(page);
  await page.goto('about:blank');
  const other = await openPortal(context);
  await signOut(other);
  await seesForm(other);
  await goBack(page);
  await seesForm(page);
  assert.deepEqual(await page.locator('#account dd').allTextContents(), ['', '', '']);
  assert.equal(await page.getByLabel('User name').inputValue(), '');
});

visit(
  'a service that does not answer is said to be away, and the session outlasts it',
  async (context) => {
    const page = await openPortal(context);
    await signIn(page, demo.account);
    await seesAccount(page);
    await context.setOffline(true);
    await signOut(page);
    await isWarned(page, 'Signing out did not work');
    await staySignedIn(page);
    await seesOutage(page);
    await context.setOffline(false);
    await tryAgain(page);
    await seesAccount(page);
  },
);

visit('a key signs in as well as a password does', async (context) => {
  const page = await openPortal(context);
  await signInWithKey(page, { key: 'not the key' });
  await isWarned(page, 'This key is not known.');
  await signInWithKey(page, demo.account);
  await seesAccount(page);
  assert.equal(await page.locator('#account-username').textContent(), demo.account.username);
  assert.equal(await page.locator('#key').inputValue(), '');
});

/** The same user in another browser. */
async function elsewhere(userAgent: string, scenario: (page: Page) => Promise<void>) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, userAgent });
  try {
    const page = await openPortal(context);
    await signInWithKey(page, demo.account);
    await seesAccount(page);
    await scenario(page);
  } finally {
    await context.close();
  }
}

visit('one of the other sessions is ended by its button, and only that one', async (context) => {
  await elsewhere('Firefox/150.0 (X11; Linux x86_64)', (other) =>
    elsewhere('<b>curl</b>', async (another) => {
      const page = await openPortal(context);
      await signIn(page, demo.account);
      await seesAccount(page);
      assert.equal(await page.getByText('this one', { exact: true }).count(), 1);
      assert.equal(await sessions(page).getByText('<b>curl</b>').count(), 1);
      const count = await sessions(page).count();
      const button = /^End the session of Firefox on Linux, signed in/;
      await page.getByRole('button', { name: button }).click();
      await hears(page, 'That session has ended.');
      assert.equal(await sessions(page).count(), count - 1);
      assert.ok(await page.locator('#sessions-title').evaluate((title) => title.matches(':focus')));
      await staySignedIn(other);
      await hears(other, 'Your session has ended.');
      await staySignedIn(another);
      await seesAccount(another);
    }),
  );
});

visit('the others are ended, and then all of them', async (context) => {
  const page = await openPortal(context);
  await signIn(page, demo.account);
  await elsewhere('first', async (other) => {
    await seesAccount(page);
    await staySignedIn(page);
    await endTheOthers(page);
    await hears(page, 'All other sessions have ended.');
    assert.equal(await sessions(page).count(), 1);
    await staySignedIn(other);
    await seesForm(other);
  });
  await elsewhere('second', async (other) => {
    const copy = await sessionCookie(context);
    assert.ok(copy);
    await signOutEverywhere(page);
    await hears(page, 'You are signed out everywhere.');
    assert.deepEqual(await context.cookies(), []);
    assert.equal(await replay(copy), 403);
    await staySignedIn(other);
    await hears(other, 'Your session has ended.');
  });
});

for (const colorScheme of ['light', 'dark'] as const) {
  visit(`axe finds nothing serious, ${colorScheme}, and the policy is kept`, async (context) => {
    const page = await context.newPage();
    const broken: string[] = [];
    page.on('console', (message) => {
      if (/Content Security Policy|Trusted/.test(message.text())) broken.push(message.text());
    });
    await page.emulateMedia({ colorScheme });
    await page.goto(demo.portalUrl);
    await seesForm(page);
    assert.deepEqual(await seriousFindings(page), []);
    await signInWithKey(page, { key: 'not the key' });
    await isWarned(page, 'This key is not known.');
    assert.deepEqual(await seriousFindings(page), []);
    await signInWithKey(page, demo.account);
    await elsewhere(`other, ${colorScheme}`, async () => {
      await seesAccount(page);
      await staySignedIn(page);
      await sessions(page).getByText(`other, ${colorScheme}`).waitFor();
      assert.deepEqual(await seriousFindings(page), []);
    });
    await context.setOffline(true);
    await staySignedIn(page);
    await seesOutage(page);
    assert.deepEqual(await seriousFindings(page), []);
    assert.deepEqual(broken, []);
  });
}
