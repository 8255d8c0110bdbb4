import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, beforeEach, afterEach, describe, test } from 'node:test';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { AuditTable } from '../../lib/audit-table.ts';
import { report } from '../../lib/events.ts';
import { HOUR, newSession, openNode, signIn, until } from '../support/nodes.ts';
import type { TestNode } from '../support/nodes.ts';
import { seriousFindings } from '../support/accessibility.ts';
import { openBrowser, skipWithoutChromium } from '../support/browser.ts';
import { openTestEndpoint } from '../support/endpoint.ts';
import type { TestEndpoint } from '../support/endpoint.ts';
import { startPostgres } from '../support/postgres.ts';
import type { Postgres } from '../support/postgres.ts';

const TOKEN = randomBytes(24).toString('hex');

describe('the console in a browser', { skip: skipWithoutChromium() }, () => {
  let postgres: Postgres;
  let node: TestNode;
  let endpoint: TestEndpoint;
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;

  before(async () => {
    postgres = await startPostgres();
    node = openNode(await postgres.newDatabase());
    await node.backend.readiness.ready();
    endpoint = await openTestEndpoint({ SESSION_GUARD_CONSOLE_TOKEN: TOKEN });
    browser = await openBrowser();
  });
  after(async () => {
    await browser.close();
    await endpoint.close();
    await node.close();
    await postgres.stop();
  });
  beforeEach(async () => {
    context = await browser.newContext({ viewport: { width: 1100, height: 900 } });
    page = await context.newPage();
  });
  afterEach(() => context.close());

  async function enter(token = TOKEN): Promise<void> {
    await page.goto(`${endpoint.url}/console`);
    await page.getByLabel('Token').fill(token);
    const answered = page.waitForEvent('load');
    await page.keyboard.press('Enter');
    await answered;
  }

  test('the token opens it, a wrong one does not, and signing out closes it', async () => {
    await enter('not-the-token');
    assert.match((await page.getByRole('alert').textContent()) ?? '', /not the token/);
    await enter();
    assert.equal(await page.getByRole('heading', { level: 1 }).textContent(), 'Sessions');
    const [cookie] = await context.cookies();
    assert.ok(cookie?.httpOnly);
    assert.equal(cookie.sameSite, 'Strict');
    assert.ok(!cookie.value.includes(TOKEN));
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByLabel('Token').waitFor();
    assert.ok(await page.getByLabel('Token').isVisible());
    await context.addCookies([cookie]);
    await page.goto(`${endpoint.url}/console`);
    assert.ok(
      await page.getByLabel('Token').isVisible(),
      'the login has ended, not only its cookie',
    );
  });

  test('sessions are listed by user, filtered, and ended after a confirmation', async () => {
    const [alice, other] = await Promise.all(
      ['c-alice', 'c-alice', 'c-<b>bob</b>'].map((consumerId) =>
        signIn(node, newSession({ consumerId }), HOUR),
      ),
    );
    assert.ok(alice && other);
    await enter();
    assert.match(await page.locator('tbody', { hasText: 'c-alice' }).innerText(), /2 sessions/);
    assert.match(await page.locator('table').innerText(), /c-<b>bob<\/b>/);
    await page.getByLabel('Consumer id, subject or handle').fill(alice.handle);
    await page.keyboard.press('Enter');
    await page.waitForURL(/q=/);
    assert.equal(await page.locator('tbody tr').count(), 2);
    await page.getByRole('link', { name: `End ${alice.handle}` }).click();
    assert.match(await page.locator('main').innerText(), /1 sign-in, on every node/);
    await page.getByLabel('Reason').fill('left the company');
    await page.keyboard.press('Enter');
    await page.waitForURL(/ended=1/);
    assert.match((await page.getByRole('status').textContent()) ?? '', /Ended: 1/);
    assert.equal(await node.storage.load(alice), null);
    assert.ok(await node.storage.load(other));
    const [entry] = await new AuditTable(node.database).read({ handle: alice.handle, limit: 1 });
    assert.equal(entry?.reason, 'handle: console: left the company');
    await page.getByRole('link', { name: 'End all of c-alice' }).click();
    await page.getByLabel('Reason').fill('all');
    await page.getByRole('button', { name: 'End it' }).click();
    await page.waitForURL(/ended=1/);
    assert.equal(await node.storage.load(other), null);
  });

  test('counters and charts follow without a reload', async () => {
    await enter();
    const tile = page.locator('.tiles li', { hasText: 'sign-ins' });
    const earlier = Number(await tile.locator('strong').textContent());
    for (let i = 0; i < 3; i++) report('session_created');
    const counted = String(earlier + 3);
    await until(async () => (await tile.locator('strong').textContent()) === counted, 20_000);
    assert.ok((await page.locator('rect.c-sign-ins').count()) > 0);
  });

  test('nothing but its own form changes anything', async () => {
    const session = await signIn(node, newSession(), HOUR);
    await enter();
    const [cookie] = await context.cookies();
    const post = (fields: Record<string, string>, headers: Record<string, string> = {}) =>
      fetch(`${endpoint.url}/console/revoke`, {
        method: 'POST',
        headers: { cookie: `${cookie?.name}=${cookie?.value}`, ...headers },
        body: new URLSearchParams({ handle: session.handle, reason: 'x', ...fields }),
        redirect: 'manual',
      });
    const form = await page.locator('input[name=form]').first().inputValue();
    assert.equal((await post({})).status, 403);
    assert.equal((await post({ form: 'x' })).status, 403);
    assert.equal((await post({ form }, { 'sec-fetch-site': 'cross-site' })).status, 403);
    assert.equal((await post({ form }, { cookie: '' })).status, 401);
    assert.ok(await node.storage.load(session));
    assert.equal((await post({ form })).status, 303);
    assert.equal(await node.storage.load(session), null);
  });

  test('wrong tokens are answered ten times a minute', async () => {
    const own = await openTestEndpoint({ SESSION_GUARD_CONSOLE_TOKEN: TOKEN });
    const attempt = async (token: string) => {
      const body = new URLSearchParams({ token });
      const { status } = await fetch(`${own.url}/console/login`, { method: 'POST', body });
      return status;
    };
    const statuses = [];
    for (let i = 0; i < 11; i++) statuses.push(await attempt('wrong'));
    assert.deepEqual(statuses, [...Array.from({ length: 10 }, () => 401), 429]);
    assert.equal(await attempt(TOKEN), 429);
    await own.close();
  });

  for (const colorScheme of ['light', 'dark'] as const) {
    test(`axe finds nothing serious, ${colorScheme}, and the policy is not broken`, async () => {
      const problems: string[] = [];
      page.on('console', (message) => {
        if (message.type() === 'error') problems.push(message.text());
      });
      await page.emulateMedia({ colorScheme });
      const { handle } = await signIn(node, newSession(), HOUR);
      await page.goto(`${endpoint.url}/console`);
      assert.deepEqual(await seriousFindings(page), []);
      await enter();
      assert.deepEqual(await seriousFindings(page), []);
      await page.goto(`${endpoint.url}/console/revoke?handle=${handle}`);
      assert.deepEqual(await seriousFindings(page), []);
      assert.deepEqual(problems, []);
    });
  }
});
