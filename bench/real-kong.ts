import { readFile, readdir, readlink } from 'node:fs/promises';
import { until } from '../test/e2e/support/waiting.ts';
import type { Cleanup } from '../test/e2e/support/cleanup.ts';
import { Admin } from '../test/support/admin.ts';
import { send } from '../test/support/client.ts';
import type { Options } from './options.ts';
import { STORAGES } from './plan.ts';
import type { StorageName } from './plan.ts';
import { Probe } from './probe.ts';
import { createPeople, createRoute } from './site.ts';
import type { Common } from './site.ts';
import type { Target, Targets } from './target.ts';

/** Where the Kong is that the environment names; `undefined` without one. */
export function realKong(): { adminUrl: string; proxyUrl: string } | undefined {
  const [adminUrl, proxyUrl] = [process.env['KONG_ADMIN_URL'], process.env['KONG_PROXY_URL']];
  if (!adminUrl) return undefined;
  if (!proxyUrl) throw new Error('with KONG_ADMIN_URL, KONG_PROXY_URL must be set too');
  return { adminUrl: adminUrl.replace(/\/$/, ''), proxyUrl: proxyUrl.replace(/\/$/, '') };
}

type Hosts = Record<StorageName, string>;

/** Sets a Kong up that is there already: session-guard and the bundled session plugin, each with both storages. */
export async function openRealKong(
  { adminUrl, proxyUrl }: { adminUrl: string; proxyUrl: string },
  common: Common,
  { options, cleanup }: { options: Options; cleanup: Cleanup },
): Promise<Targets> {
  const { workerPids, serverPid, probe } = options;
  const gatewayPids =
    workerPids.length > 0 ? workerPids : await listeningWorkers(Number(new URL(proxyUrl).port));
  const admin = new Admin(adminUrl);
  cleanup.defer(() => admin.close());
  const service = await createPeople(admin, common);
  const none = await createRoute(admin, common, { service, label: 'none' });
  const routes = async (label: string, name: string, configOf: (of: StorageName) => object) => {
    const entries: [StorageName, string][] = [];
    for (const storage of STORAGES) {
      const plugin = { name, config: configOf(storage) };
      const route = { service, label: `${label}-${storage}`, plugin };
      entries.push([storage, await createRoute(admin, common, route)]);
    }
    return Object.fromEntries(entries) as Hosts;
  };
  const guard = await routes('guard', 'session-guard', (storage) => common.configs[storage]);
  const { secret } = common;
  const bundled = await routes('bundled', 'session', (storage) => ({ secret, storage }));
  for (const hosts of [guard, bundled]) await untilEffective(proxyUrl, hosts, common);
  const kong: Target = {
    proxyUrl,
    hosts: { kong: none },
    gatewayPids,
    serverPid: undefined,
    probe: undefined,
    conversation: undefined,
  };
  const server = {
    serverPid: serverPid ?? (await serverOf(gatewayPids)),
    probe: probe === undefined ? undefined : new Probe(probe),
  };
  return {
    none: kong,
    guard: { ...kong, ...server, hosts: guard },
    bundled: { ...kong, hosts: bundled },
  };
}

/** Over many connections, so that every worker has shown that it knows of the change. */
const WITNESSES = 8;

async function untilEffective(proxyUrl: string, hosts: Hosts, { key }: Common): Promise<void> {
  const signsIn = async (host: string): Promise<boolean> => {
    const ask = { scheme: 'http', headers: { apikey: key }, fresh: true } as const;
    const { status, setCookies } = await send({ proxyUrl, proxySslUrl: '' }, host, ask);
    return status === 200 && setCookies.length > 0;
  };
  for (const host of Object.values(hosts)) {
    await until(`${host} signs in`, async () => {
      const answers = await Promise.all(Array.from({ length: WITNESSES }, () => signsIn(host)));
      return answers.every(Boolean);
    });
  }
}

/** Cookies of the bundled plugin, each of a sign-in of its own. */
export async function signIn(
  { proxyUrl, hosts }: Target,
  storage: StorageName,
  { key, count }: { key: string; count: number },
): Promise<string[]> {
  const ask = { scheme: 'http', headers: { apikey: key } } as const;
  const cookies: string[] = [];
  while (cookies.length < count) {
    const reply = await send({ proxyUrl, proxySslUrl: '' }, hosts[storage] ?? '', ask);
    const [pair = ''] = reply.setCookies[0]?.split(';') ?? [];
    if (pair === '') throw new Error(`the bundled plugin set no cookie: ${reply.status}`);
    cookies.push(pair);
  }
  return cookies;
}

/** The nginx workers that listen on a port: their sockets are those of /proc/net/tcp. */
async function listeningWorkers(port: number): Promise<number[]> {
  const sockets = new Set<string>();
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    const text = await readFile(table, 'utf8').catch(() => '');
    for (const inode of listenersOn(port, text)) sockets.add(`socket:[${inode}]`);
  }
  const workers: number[] = [];
  for (const pid of await processes()) {
    if (!(await commandOf(pid)).startsWith('nginx: worker')) continue;
    const handles = await readdir(`/proc/${pid}/fd`).catch(() => []);
    const open = await Promise.all(
      handles.map((handle) => readlink(`/proc/${pid}/fd/${handle}`).catch(() => '')),
    );
    if (open.some((target) => sockets.has(target))) workers.push(pid);
  }
  if (workers.length === 0) {
    throw new Error(`no nginx worker of this machine listens on port ${port}: give --worker-pid`);
  }
  return workers;
}

const LISTEN = '0A';

/** Inodes of the sockets that listen on a port (proc(5), /proc/net/tcp). */
export function listenersOn(port: number, table: string): string[] {
  const wanted = port.toString(16).toUpperCase().padStart(4, '0');
  return table.split('\n').flatMap((line) => {
    const [, local = '', , state, , , , , , inode = ''] = line.trim().split(/\s+/);
    return state === LISTEN && local.endsWith(`:${wanted}`) ? [inode] : [];
  });
}

/** The plugin server is a child of the first worker (kong/runloop/plugin_servers/process.lua). */
async function serverOf(workers: readonly number[]): Promise<number> {
  const children: number[] = [];
  for (const worker of workers) {
    const text = await readFile(`/proc/${worker}/task/${worker}/children`, 'utf8');
    children.push(...text.split(' ').filter(Boolean).map(Number));
  }
  const commands = await Promise.all(children.map(commandOf));
  const servers = children.filter((_, index) => /node|session-guard/.test(commands[index] ?? ''));
  const [server, ...others] = servers;
  if (server === undefined || others.length > 0) {
    throw new Error(`nginx's workers have ${servers.length} node processes: give --server-pid`);
  }
  return server;
}

const processes = async (): Promise<number[]> =>
  (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);

const commandOf = async (pid: number): Promise<string> =>
  (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).replaceAll('\0', ' ');
