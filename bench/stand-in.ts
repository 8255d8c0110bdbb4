import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Cleanup } from '../test/e2e/support/cleanup.ts';
import { Admin } from '../test/support/admin.ts';
import { buildFixtures } from './fixtures/index.ts';
import type { Fixtures } from './fixtures/index.ts';
import type { Ready, Told } from './gateway.ts';
import type { PeerName } from './plan.ts';
import { Probe } from './probe.ts';
import { createPeople, createRoute } from './site.ts';
import type { Common } from './site.ts';
import type { Target, Targets } from './target.ts';

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const SERVER = path('../dist/lib/server/main.js');
const STOCK = path('../node_modules/kong-pdk/bin/kong-js-pluginserver');

/** A plugin server's two commands, without `node` and its options. */
interface Commands {
  readonly dump: string;
  readonly serve: string;
}

const own = (program: string, socket: string, protocol: string): Commands => ({
  dump: `'${program}' -dump --protocol ${protocol}`,
  serve: `'${program}' --socket '${socket}'`,
});

/** As kong-pdk's documentation says. */
const stock = (plugins: string, folder: string, name: string): Commands => ({
  dump: `'${STOCK}' -d '${plugins}' --dump-all-plugins`,
  serve: `'${STOCK}' -d '${plugins}' --kong-prefix '${folder}' --sock-name '${name}.sock'`,
});

function commandsOf(peer: PeerName, fixtures: Fixtures, folder: string): Commands {
  const socket = join(folder, `${peer}.sock`);
  if (peer === 'stock') return stock(path('../dist/plugins'), folder, peer);
  if (peer === 'naive') return stock(fixtures.naive, folder, peer);
  if (peer === 'noop' || peer === 'none') return own(fixtures.noop, socket, 'protobuf');
  return own(SERVER, socket, peer === 'msgpack' ? 'msgpack' : 'protobuf');
}

/** A stand-in for Kong for each peer, with a plugin server of its own; sockets are made in `folder`. */
export async function openStandIns(
  peers: readonly PeerName[],
  common: Common,
  { folder, cleanup }: { folder: string; cleanup: Cleanup },
): Promise<Targets> {
  if (!existsSync(SERVER)) throw new Error(`${SERVER} is missing: run npm run build first`);
  const fixtures = await buildFixtures();
  const open = async (peer: PeerName): Promise<[PeerName, Target]> => {
    const commands = commandsOf(peer, fixtures, folder);
    const probe = join(folder, `${peer}.probe`);
    const node = `'${process.execPath}' --import '${fixtures.probe}'`;
    const server = {
      socketPath: join(folder, `${peer}.sock`),
      queryCmd: `'${process.execPath}' ${commands.dump}`,
      startCmd: `/usr/bin/env BENCH_PROBE='${probe}' ${node} ${commands.serve}`,
    };
    const execArgv = ['--import', 'tsx'];
    const gateway = fork(path('gateway.ts'), [JSON.stringify(server)], { execArgv });
    cleanup.defer(() => end(gateway));
    const { adminUrl, proxyUrl, serverPid } = (await nextMessage(gateway)) as Ready;
    const target = {
      proxyUrl,
      hosts: await createRoutes(peer, new Admin(adminUrl), common),
      gatewayPids: [gateway.pid ?? 0],
      serverPid: peer === 'none' ? undefined : serverPid,
      probe: peer === 'none' ? undefined : new Probe(probe),
      conversation: async (id: string) => {
        gateway.send(id);
        return ((await nextMessage(gateway)) as Told).conversation;
      },
    };
    return [peer, target];
  };
  return Object.fromEntries(await Promise.all(peers.map(open)));
}

async function createRoutes(
  peer: PeerName,
  admin: Admin,
  common: Common,
): Promise<Target['hosts']> {
  const service = await createPeople(admin, common);
  if (peer === 'none') return { kong: await createRoute(admin, common, { service, label: peer }) };
  const { kong, cookie } = common.configs;
  const route = (label: string, config: object) =>
    createRoute(admin, common, { service, label, plugin: { name: 'session-guard', config } });
  return { kong: await route('kong', kong), cookie: await route('cookie', cookie) };
}

/** What the gateway says next. Rejects where it ends instead. */
function nextMessage(gateway: ChildProcess): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const ended = () => reject(new Error('the stand-in for Kong has ended'));
    gateway.once('exit', ended);
    gateway.once('message', (message) => {
      gateway.off('exit', ended);
      resolve(message);
    });
  });
}

async function end(gateway: ChildProcess): Promise<void> {
  if (gateway.exitCode !== null || !gateway.connected) return;
  const ended = once(gateway, 'exit');
  gateway.disconnect();
  await ended;
}
