import type { BrowserContext, Page } from 'playwright-core';

/** Who signs in at a portal. */
export interface Account {
  readonly username: string;
  readonly password: string;
  readonly key: string;
}

const textbox = (page: Page, name: string) => page.getByRole('textbox', { name });

/** The page does one thing at a time. */
async function press(page: Page, name: string): Promise<void> {
  await page.locator('main:not([aria-busy=true])').waitFor();
  await page.getByRole('button', { name, exact: true }).click();
}

export async function open(context: BrowserContext, url: string): Promise<Page> {
  const page = await context.newPage();
  await page.goto(url);
  return page;
}

export async function signIn(page: Page, { username, password }: Account): Promise<void> {
  await textbox(page, 'User name').fill(username);
  await textbox(page, 'Password').fill(password);
  await press(page, 'Sign in');
}

export async function signInWithKey(page: Page, { key }: Pick<Account, 'key'>): Promise<void> {
  await page.getByLabel('a key').check();
  await textbox(page, 'API key').fill(key);
  await press(page, 'Sign in');
}

export const signOut = (page: Page) => press(page, 'Sign out');
export const signOutEverywhere = (page: Page) => press(page, 'Sign out everywhere');
export const endTheOthers = (page: Page) => press(page, 'End the others');
export const staySignedIn = (page: Page) => press(page, 'Stay signed in');
export const tryAgain = (page: Page) => press(page, 'Try again');

const sees = (page: Page, name: string) =>
  page.getByRole('heading', { name, exact: true }).waitFor();
export const seesAccount = (page: Page) => sees(page, 'Signed in');
export const seesForm = (page: Page) => sees(page, 'Sign in');
export const seesOutage = (page: Page) => sees(page, 'Out of reach');
export const hears = (page: Page, text: string) =>
  page.getByRole('status').getByText(text).waitFor();
export const isWarned = (page: Page, text: string) =>
  page.getByRole('alert').getByText(text).waitFor();

export const sessions = (page: Page) =>
  page.getByRole('list', { name: 'Your sessions' }).getByRole('listitem');
