import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { openConsole } from '../lib/console/index.ts';
import { History } from '../lib/console/history.ts';
import { createEndpointServer } from '../lib/endpoint/server.ts';
import { createLog } from '../lib/log.ts';
import { openBrowser } from '../test/support/browser.ts';
import { HOUR, newSession, openNode, signIn } from '../test/support/nodes.ts';
import { startPostgres } from '../test/support/postgres.ts';

/** Pictures of the console for the documentation, light and dark, of an invented hour: docs/images/console-….png. */
const FOLDER = fileURLToPath(new URL('../docs/images/', import.meta.url));
const TOKEN = randomBytes(24).toString('hex');

/** A morning: people come, and somebody tries forged cookies at a quarter to. */
function invent(): History {
  let clock = Date.now() - 59 * 60_000;
  const history = new History(60, () => clock);
  for (let minute = 0; minute < 60; minute++, clock += 60_000) {
    const wave = (scale: number, phase: number) =>
      Math.round(scale * (1.2 + Math.sin(minute / 9 + phase) + 0.3 * Math.sin(minute * 1.7)));
    const counts = {
      'sign-ins': wave(8, 0),
      renewals: wave(14, 1),
      'sign-outs': wave(3, 2),
      missing: wave(9, 1),
      expired: wave(3, 2),
      revoked: wave(2, 3),
      invalid: minute > 43 && minute < 49 ? 25 : wave(0.6, 0),
    };
    for (const [what, count] of Object.entries(counts)) {
      for (let i = 0; i < count; i++) history.add(what as keyof typeof counts);
    }
  }
  clock -= 60_000;
  return history;
}

const postgres = await startPostgres();
const node = openNode(await postgres.newDatabase());
const PEOPLE = ['rosa', 'emil', 'rosa', 'mette', 'rosa', 'emil'];
const ids = new Map(PEOPLE.map((name) => [name, crypto.randomUUID()]));
for (const subject of PEOPLE) {
  const consumerId = ids.get(subject) ?? '';
  await signIn(node, newSession({ consumerId, subject, audience: 'portal' }), HOUR);
}
const log = createLog('silent');
const address = { host: '127.0.0.1', port: 0 };
const pages = openConsole(TOKEN, invent());
const server = createEndpointServer(address, [pages.handler], log);
server.listen(0, address.host);
await once(server, 'listening');
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/console`;
const browser = await openBrowser();
await mkdir(FOLDER, { recursive: true });
for (const colorScheme of ['light', 'dark'] as const) {
  const context = await browser.newContext({
    colorScheme,
    viewport: { width: 1040, height: 1000 },
  });
  const page = await context.newPage();
  await page.goto(url);
  await page.getByLabel('Token').fill(TOKEN);
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'Signed in' }).waitFor();
  await page.screenshot({ path: `${FOLDER}console-${colorScheme}.png` });
  await context.close();
}
await browser.close();
pages.close();
server.close();
await node.close();
await postgres.stop();
