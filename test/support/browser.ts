import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { chromium, type Browser, type BrowserContext, type LaunchOptions } from 'playwright-core';
import type { Listeners } from './client.ts';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];

/** The path of the browser that the tests drive: $CHROMIUM, otherwise the first known name on $PATH. */
export function findChromium(): string | undefined {
  const given = process.env['CHROMIUM'];
  if (given !== undefined && given !== '') return given;
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  const candidates = NAMES.flatMap((name) => folders.map((folder) => join(folder, name)));
  return candidates.find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** For `describe`: why the browser tests do not run here, or false where they do. With CI=true they always run. */
export function skipWithoutChromium(): string | false {
  if (findChromium() !== undefined || process.env['CI'] === 'true') return false;
  return 'no Chromium found: install one, or name it in $CHROMIUM';
}

/** Headless, with an empty profile of its own that goes with it. */
export const openBrowser = (gateway?: Listeners): Promise<Browser> =>
  chromium.launch(launchOptions(gateway));

/** Headless, with a profile that stays in `folder` when it is closed. */
export const openProfile = (folder: string, gateway?: Listeners): Promise<BrowserContext> =>
  chromium.launchPersistentContext(folder, { ...launchOptions(gateway), ignoreHTTPSErrors: true });

/** Without the chatter of a fresh Chromium, and with its back-forward cache, as users have it. */
function launchOptions(gateway: Listeners | undefined): LaunchOptions {
  const executablePath = findChromium();
  if (executablePath === undefined) throw new Error('the browser tests need a Chromium');
  return {
    executablePath,
    chromiumSandbox: false, // CI and containers run as root, where Chromium's sandbox cannot
    ignoreDefaultArgs: ['--disable-back-forward-cache'],
    args: [
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      ...(gateway ? [hostRules(gateway)] : []),
    ],
  };
}

/** Every name under `test` is the gateway, at the ports that names have by themselves. */
function hostRules({ proxyUrl, proxySslUrl }: Listeners): string {
  const plain = `MAP *.test:80 ${new URL(proxyUrl).host}`;
  return `--host-resolver-rules=${plain},MAP *.test:443 ${new URL(proxySslUrl).host}`;
}
