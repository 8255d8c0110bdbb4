import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Browser, BrowserContext, Cookie, Page } from 'playwright-core';
import { openBrowser, skipWithoutChromium } from '../support/browser.ts';
import { askLoopback } from '../support/demo/loopback.ts';
import { startDemo, type Demo } from '../support/demo/start.ts';

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
    context.setDefaultTimeout(15_000);
    try {
      await scenario(context);
    } finally {
      await context.close();
    }
  });
}

async function openPortal(context: BrowserContext): Promise<Page> {
  const page = await context.newPage();
  await page.goto(demo.portalUrl);
  return page;
}

async function signIn(page: Page, password = demo.account.password): Promise<void> {
  await page.getByLabel('User name').fill(demo.account.username);
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

const signOut = (page: Page) => page.getByRole('button', { name: 'Sign out' }).click();
const askAgain = (page: Page) => page.getByRole('button', { name: 'Ask the API again' }).click();
const seesAccount = (page: Page) => page.getByRole('heading', { name: 'Signed in' }).waitFor();
const seesForm = (page: Page) => page.getByRole('heading', { name: 'Sign in' }).waitFor();

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
  await signIn(page);
  await seesAccount(page);
  assert.equal(await page.locator('#account-username').textContent(), demo.account.username);
  await page.reload();
  await seesAccount(page);
  assert.equal(await page.locator('#account-username').textContent(), demo.account.username);
});

visit('a wrong password says so and leaves no session behind', async (context) => {
  const page = await openPortal(context);
  await signIn(page, 'not the password');
  await page.getByRole('alert').getByText('The user name or the password is wrong.').waitFor();
  assert.equal(await page.getByLabel('Password').inputValue(), '');
  assert.deepEqual(await context.cookies(), []);
});

visit(
  'the browser keeps the cookie from scripts, from HTTP and from other sites',
  async (context) => {
    const page = await openPortal(context);
    await signIn(page);
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
    await signIn(first);
    await seesAccount(first);
    const second = await openPortal(context);
    await seesAccount(second);
    await signOut(first);
    await first.getByRole('status').getByText('You are signed out.').waitFor();
    await askAgain(second);
    await second.getByRole('status').getByText('Your session has ended.').waitFor();
    await seesForm(second);
  },
);

visit('a cookie copied before the sign-out is refused after it', async (context) => {
  const page = await openPortal(context);
  await signIn(page);
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
  await signIn(page);
  await seesAccount(page);
  await page.goto('about:blank');
  const other = await openPortal(context);
  await signOut(other);
  await seesForm(other);
  await page.goBack();
  await seesForm(page);
  assert.deepEqual(await page.locator('#account dd').allTextContents(), ['', '', '']);
  assert.equal(await page.getByLabel('User name').inputValue(), '');
});

visit(
  'a service that does not answer is said to be away, and the session outlasts it',
  async (context) => {
    const page = await openPortal(context);
    await signIn(page);
    await seesAccount(page);
    await context.setOffline(true);
    await signOut(page);
    await page.getByRole('alert').getByText('Signing out did not work').waitFor();
    await askAgain(page);
    await page.getByRole('heading', { name: 'Out of reach' }).waitFor();
    await context.setOffline(false);
    await page.getByRole('button', { name: 'Try again' }).click();
    await seesAccount(page);
  },
);
