import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import { startGateway, type Gateway } from '../gateway/index.ts';
import { startPortal } from '../portal/portal.ts';
import { startPostgres } from '../postgres.ts';
import { createCertificate } from '../tls.ts';
import { addressesAt, configure, type Account } from './configure.ts';
import { askLoopback } from './loopback.ts';

/** Ports of the stand-in's listeners on loopback; 0 = a free one. */
export interface DemoPorts {
  readonly port: number;
  readonly 'ssl-port': number;
  readonly 'admin-port': number;
}

export interface Demo {
  readonly portalUrl: string;
  readonly apiUrl: string;
  readonly adminUrl: string;
  readonly databaseUrl: string;
  readonly account: Account;
  /** Where the plugin server tells how it is, and what opens its console. */
  readonly endpoint: { readonly url: string; readonly token: string };
  /** Ends every process and server, and removes the data. */
  stop(): Promise<void>;
}

/** The built plugin server. */
const SERVER = fileURLToPath(new URL('../../../dist/lib/server/main.js', import.meta.url));

/** The portal behind the stand-in for Kong, with the real plugin server and a real Postgres. */
export async function startDemo(ports: DemoPorts): Promise<Demo> {
  const stops: (() => Promise<void>)[] = [];
  const stop = async () => {
    for (const end of stops.splice(0).toReversed()) await end();
  };
  try {
    return { ...(await start(ports, stops)), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Puts the end of each part on `stops` as soon as the part runs. */
async function start(
  ports: DemoPorts,
  stops: (() => Promise<void>)[],
): Promise<Omit<Demo, 'stop'>> {
  const postgres = await startPostgres();
  stops.push(() => postgres.stop());
  const token = randomBytes(24).toString('hex');
  const gateway = await startKong(ports, stops, token);
  const addresses = addressesAt(Number(new URL(gateway.proxySslUrl).port));
  const upstreams = await startPortal({ apiAddress: addresses.api });
  stops.push(() => upstreams.close());
  const account = {
    username: 'demo',
    password: randomBytes(6).toString('hex'),
    key: randomBytes(12).toString('hex'),
  };
  const { adminUrl } = gateway;
  const databaseUrl = await postgres.newDatabase();
  const secret = randomBytes(32).toString('base64');
  await configure({ adminUrl, addresses, upstreams, secret, databaseUrl, account });
  const { gui: portalUrl, api: apiUrl } = addresses;
  await untilReady(portalUrl, apiUrl, gateway.log);
  const endpoint = { url: endpointIn(gateway.log), token };
  return { portalUrl, apiUrl, adminUrl, databaseUrl, account, endpoint };
}

/** The stand-in, with the lines of kong.conf.example: an absolute path to node, since Kong's child has no PATH. */
async function startKong(
  ports: DemoPorts,
  stops: (() => Promise<void>)[],
  token: string,
): Promise<Gateway> {
  const prefix = await mkdtemp(join(tmpdir(), 'session-guard-demo-'));
  stops.push(() => rm(prefix, { recursive: true, force: true }));
  const socketPath = join(prefix, 'session-guard-server.socket');
  const command = `${quote(process.execPath)} ${quote(SERVER)}`;
  const tokenFile = join(prefix, 'console-token');
  await writeFile(tokenFile, token, { mode: 0o600 });
  const watching = `--http 127.0.0.1:0 --console-token-file ${quote(tokenFile)}`;
  const gateway = await startGateway({
    server: {
      socketPath,
      startCmd: `${command} --socket ${quote(socketPath)} ${watching}`,
      queryCmd: `${command} -dump`,
    },
    tls: await createCertificate(),
    proxyPort: ports.port,
    proxySslPort: ports['ssl-port'],
    adminPort: ports['admin-port'],
  });
  stops.push(() => gateway.stop());
  return gateway;
}

/** The plugin server says in the log which port it got. */
function endpointIn(log: readonly string[]): string {
  const line = log.findLast((candidate) => candidate.includes('"event":"endpoint"')) ?? '';
  return /"url":"([^"]+)"/.exec(line)?.[1] ?? 'none: see the log';
}

/** As one word for the shell that Kong starts its commands with. */
const quote = (word: string) => `'${word.replaceAll("'", "'\\''")}'`;

/** A change at the Admin API works within 5 s (worker_state_update_frequency), and the first call starts the plugin. */
async function untilReady(
  portalUrl: string,
  apiUrl: string,
  log: readonly string[],
): Promise<void> {
  let seen = '';
  for (let attempt = 0; attempt < 100; attempt++) {
    const gui = await askLoopback(portalUrl);
    const api = await askLoopback(`${apiUrl}/whoami`);
    if (gui.status === 200 && api.status === 403) return;
    seen = `GUI ${gui.status}, API ${api.status} ${api.body}`;
    await sleep(100);
  }
  throw new Error([`the demo did not become ready: ${seen}`, ...log.slice(-20)].join('\n'));
}
