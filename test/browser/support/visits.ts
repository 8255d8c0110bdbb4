import assert from 'node:assert/strict';
import type { Browser, BrowserContext, Frame, Page, Response } from 'playwright-core';
import type { Person } from '../../e2e/support/scene.ts';
import { until } from '../../e2e/support/waiting.ts';

/** Runs in a browser profile of its own, which knows no certificates but takes them all. */
export async function inProfile(
  browser: Browser,
  scenario: (context: BrowserContext) => Promise<void>,
): Promise<void> {
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  try {
    await scenario(context);
  } finally {
    await context.close();
  }
}

/** Whom the echo in a page or frame names; undefined where the anonymous consumer was refused. */
export async function nameOn(place: Page | Frame): Promise<string | undefined> {
  const text = await until('an answer', async () => {
    const shown = (await place.locator('body').textContent()) ?? '';
    return /rawHeaders|So it goes/.test(shown) && shown;
  });
  if (!text.includes('rawHeaders')) return undefined;
  const { headers } = JSON.parse(text) as { headers: Record<string, string> };
  return headers['x-consumer-username'];
}

/** Signs in at a site of the echo server, in the tab, with a key. */
export async function enter(page: Page, url: string, person: Person): Promise<void> {
  await page.goto(`${url}?apikey=${person.keys[0].key}`);
  assert.equal(await nameOn(page), person.username);
}

/** Whom a visit to a site is taken for. */
export async function visit(page: Page, url: string): Promise<string | undefined> {
  await page.goto(url);
  return nameOn(page);
}

/**
 * The back button; what is shown then is for the caller to look at. `Page.goBack` waits for a load, which the back-forward
 * cache spares, and the page that is left may be gone before it has answered.
 */
export async function goBack(page: Page): Promise<void> {
  await page.evaluate('history.back()').catch(() => undefined);
}

/** The answer that `work` makes a page receive from this URL. */
export async function answerTo(
  page: Page,
  url: string,
  work: () => Promise<unknown>,
): Promise<Response> {
  const answered = page.waitForEvent('response', (response) => {
    return response.url() === url && response.request().method() !== 'OPTIONS';
  });
  await work();
  return answered;
}
