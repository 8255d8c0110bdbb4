import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { KongConnection } from '../contract/server-kong.ts';
import { Admin, type Entity } from '../support/admin.ts';
import { Browser } from '../support/client.ts';
import { type Gateway, startGateway } from '../support/gateway/index.ts';
import { createCertificate } from '../support/tls.ts';
import type { Upstream } from '../support/upstream.ts';
import { addCookie, type Canaries, newCanary } from './canary-marks.ts';

export const SERVER = fileURLToPath(new URL('../../dist/lib/server/main.js', import.meta.url));

/** What the flow needs around it. */
export interface Surroundings {
  readonly folder: string;
  /** With the canary of the database in it. */
  readonly databaseUrl: string;
  readonly upstream: Upstream;
  /** Breaks the database while `work` runs. */
  readonly withoutDatabase: (work: () => Promise<void>) => Promise<void>;
}

export interface Flow {
  readonly gateway: Gateway;
  readonly secret: string;
  readonly cookies: readonly string[];
  readonly outputs: ReadonlyMap<string, string>;
  stop(): Promise<void>;
}

/**
 * Everything that a route with session-guard goes through, good and bad, at the most verbose level; what it says by
 * log and endpoint is collected, what it answers to clients beside their own cookies too.
 */
export async function runFlow(
  protocol: string,
  canaries: Canaries,
  surroundings: Surroundings,
): Promise<Flow> {
  const lines: string[] = [];
  const socketPath = join(surroundings.folder, `${protocol}.sock`);
  const node = `'${process.execPath}' '${SERVER}'`;
  const gateway = await startGateway({
    tls: await createCertificate(),
    workers: 2,
    onLog: (line) => void lines.push(line),
    server: {
      socketPath,
      startCmd: `${node} --socket '${socketPath}' --log-level debug --http 127.0.0.1:0`,
      queryCmd: `${node} -dump --protocol ${protocol}`,
    },
  });
  const answers: string[] = [];
  const secret = known(canaries, `secret of ${protocol}`);
  const cookies: string[] = [];
  for (const storage of ['kong', 'cookie']) {
    const site = await setUp(gateway, storage, secret, canaries, surroundings);
    cookies.push(...(await visit(site, canaries, answers, surroundings)));
  }
  const outputs = new Map([
    [`metrics over ${protocol}`, await scrape(lines, '/metrics')],
    [`health over ${protocol}`, await scrape(lines, '/health')],
    [`state over ${protocol}`, await stateOf(socketPath)],
    [`answers over ${protocol}`, answers.join('\n')],
  ]);
  const stop = async () => {
    await gateway.stop();
    outputs.set(`log over ${protocol}`, lines.join('\n'));
  };
  return { gateway, secret, cookies, outputs, stop };
}

function known(canaries: Canaries, what: string): string {
  const value = newCanary();
  canaries.set(what, value);
  return value;
}

interface Site {
  readonly browser: () => Browser;
  readonly key: string;
  readonly password: string;
  readonly username: string;
}

async function setUp(
  gateway: Gateway,
  storage: string,
  secret: string,
  canaries: Canaries,
  { databaseUrl, upstream }: Surroundings,
): Promise<Site> {
  const admin = new Admin(gateway.adminUrl);
  const service = await admin.create('/services', { url: upstream.url });
  const anonymous = await admin.create('/consumers', { username: `anonymous-${randomUUID()}` });
  // As documented: who has no session does not get through, and neither does what they sent.
  await admin.create(`/consumers/${anonymous.id}/plugins`, {
    name: 'request-termination',
    config: { status_code: 403 },
  });
  const username = `user-${randomUUID()}`;
  const consumer = await admin.create('/consumers', { username });
  const key = known(canaries, `key of ${username}`);
  const password = known(canaries, `password of ${username}`);
  await admin.create(`/consumers/${consumer.id}/key-auth`, { key });
  await admin.create(`/consumers/${consumer.id}/basic-auth`, { username, password });
  const config = {
    secret,
    secret_fallbacks: [known(canaries, `fallback of ${username}`)],
    storage,
    postgres: { url: databaseUrl, connect_timeout: 4, statement_timeout: 4 },
    cookie_samesite: 'off',
    remember: true,
    self_service: true,
    store_metadata: true,
    rolling_timeout: 60,
    request_headers: ['id', 'age'],
    response_headers: ['id', 'timeout'],
  };
  const host = `${randomUUID()}.app.test`;
  await route(admin, service, host, anonymous.id, config);
  // These are refused, by Kong at once or by the plugin with a sentence in the log.
  for (const fault of [
    { secret: 'tatutata'.repeat(5) },
    { postgres: { url: `mysql://${password}@localhost` } },
    { secret_fallbacks: [secret.slice(0, 3)] },
  ]) {
    const broken = `${randomUUID()}.app.test`;
    await route(admin, service, broken, anonymous.id, { ...config, ...fault }).catch(() => {});
    await new Browser(gateway, broken).ask({ headers: { apikey: key } });
  }
  return { browser: () => new Browser(gateway, host), key, password, username };
}

async function route(
  admin: Admin,
  service: Entity,
  host: string,
  anonymous: string,
  config: object,
): Promise<void> {
  const fields = { hosts: [host] };
  const { id } = await admin.create(`/services/${service.id}/routes`, fields);
  for (const name of ['key-auth', 'basic-auth']) {
    const auth = { anonymous, hide_credentials: true };
    await admin.create(`/routes/${id}/plugins`, { name, config: auth });
  }
  await admin.create(`/routes/${id}/plugins`, { name: 'session-guard', config });
}

/** Resolves with the values of the session cookies. */
async function visit(
  { browser, key, password, username }: Site,
  canaries: Canaries,
  answers: string[],
  { withoutDatabase }: Surroundings,
): Promise<string[]> {
  const values: string[] = [];
  const ask = async (who: Browser, how: Parameters<Browser['ask']>[0] = {}): Promise<void> => {
    const { status, headers, body, setCookies } = await who.ask(how);
    for (const line of setCookies) {
      const [name = '', value = ''] = (line.split(';')[0] ?? '').split('=');
      if (value === '') continue;
      addCookie(canaries, value);
      if (name === 'session') values.push(value);
    }
    const others = Object.entries(headers).filter(([name]) => name !== 'set-cookie');
    answers.push(`${status} ${JSON.stringify(others)} ${body}`);
  };
  const [alice, same, other] = [browser(), browser(), browser()];
  // The first ones may come before the tables are there, and then get no session.
  for (let tries = 0; values.length === 0 && tries < 50; tries++) {
    await ask(alice, { headers: { apikey: key } });
  }
  await ask(same, { headers: { apikey: key } });
  const basic = Buffer.from(`${username}:${password}`).toString('base64');
  canaries.set(`basic credential of ${username}`, basic);
  await ask(other, { headers: { Authorization: `Basic ${basic}` } });
  const [value] = values;
  if (value === undefined) throw new Error('nobody was signed in');
  for (const path of ['/', '/_sessions', '/_sessions/others', '/_sessions/x'])
    await ask(alice, { path });
  for (const forged of [`${value}A`, `"${value}"`, value.slice(20), value.toUpperCase()]) {
    await ask(browser(), { cookie: `session=${forged}; remember=${forged}` });
  }
  await withoutDatabase(async () => {
    for (const who of [alice, other]) await ask(who);
    await ask(alice, { method: 'DELETE', path: '/?session_logout=1' });
    await ask(browser(), { headers: { apikey: key } });
  });
  await ask(alice);
  await ask(same, { method: 'DELETE', path: '/?session_logout=1' });
  await ask(browser(), { cookie: `session=${value}` });
  return values;
}

/** The endpoint says in the log where it is. */
async function scrape(lines: readonly string[], path: string): Promise<string> {
  for (let tries = 0; tries < 100; tries++) {
    const url = /"endpoint","url":"([^"]+)"/.exec(lines.join('\n'))?.[1];
    if (url !== undefined) return (await fetch(url + path)).text();
    await sleep(100);
  }
  throw new Error('the server has no endpoint');
}

/** What the server answers to questions about itself, which Kong's own never asks. */
async function stateOf(socketPath: string): Promise<string> {
  const connection = await KongConnection.open(socketPath);
  const answers = [];
  for (const method of ['plugin.GetStatus', 'plugin.InstanceStatus', 'plugin.GetPluginInfo']) {
    answers.push(await connection.call(method, 'session-guard'));
  }
  await connection.close();
  return JSON.stringify(answers);
}
