import { exec } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { PROTOCOLS } from '../../../lib/server/dump.ts';
import type { Protocol } from '../../../lib/server/dump.ts';
import type { Listeners } from '../../support/client.ts';
import { Entities } from '../../support/gateway/entities.ts';
import { type Gateway, startGateway } from '../../support/gateway/index.ts';
import type { IncludedFiles } from '../../support/gateway/nginx-include.ts';
import { startPostgres } from '../../support/postgres.ts';
import { createCertificate } from '../../support/tls.ts';
import { startUpstream } from '../../support/upstream.ts';
import { Cleanup } from './cleanup.ts';

export interface KongNode extends Listeners {
  readonly adminUrl: string;
}

/** What the tests run against: the stand-in with everything around it, or a real Kong that is there already. */
export interface Environment {
  readonly nodes: readonly [KongNode, ...KongNode[]];
  /** The echo server, as Kong reaches it. */
  readonly upstreamUrl: string;
  /** The database of the sessions, as Kong and the tests reach it. */
  readonly databaseUrl: string;
  /** A reference to a secret of 32 characters or more that Kong can resolve, where there is one. */
  readonly vaultReference: string | undefined;
  /** Ends Kong and its plugin server and starts them anew; undefined where that cannot be done. */
  readonly restart: (() => Promise<void>) | undefined;
  /** The stand-ins; none with a real Kong. */
  readonly gateways: readonly Gateway[];
  close(): Promise<void>;
}

const setting = (name: string): string | undefined => process.env[name] || undefined;

/** Whether the suite runs against a real Kong. */
export const isRealKong = setting('KONG_ADMIN_URL') !== undefined;

/** What the stand-in and the plugin server speak; a real Kong was told so by its own query command. */
export const protocol: Protocol = chosenProtocol();

function chosenProtocol(): Protocol {
  const name = setting('PLUGIN_PROTOCOL') ?? 'protobuf';
  const known = Object.keys(PROTOCOLS).find((candidate) => candidate === name);
  if (known === undefined) throw new Error(`PLUGIN_PROTOCOL=${name} is no protocol of the dump`);
  return known as Protocol;
}

export interface EnvironmentOptions {
  /** As many as possible up to this number. Default 1. */
  readonly nodes?: number;
  /** Of the stand-in: whose X-Forwarded-… headers count. A real Kong has been told already. */
  readonly trustedIps?: readonly string[];
  /** Of the stand-in: further options of the plugin server. */
  readonly serverFlags?: readonly string[];
  /** Of the stand-in. */
  readonly nginxInclude?: IncludedFiles;
}

export function openEnvironment(options: EnvironmentOptions = {}): Promise<Environment> {
  const cleanup = new Cleanup();
  return cleanup.around(async () => {
    const [databaseUrl, upstreamUrl] = [await openDatabase(cleanup), await openUpstream(cleanup)];
    const kong = isRealKong ? realKong(options) : await standIn(options, cleanup);
    return { ...kong, databaseUrl, upstreamUrl, close: () => cleanup.run() };
  });
}

async function openDatabase(cleanup: Cleanup): Promise<string> {
  const given = setting('SESSIONS_DATABASE_URL');
  if (isRealKong && given !== undefined) return given;
  const postgres = await startPostgres();
  cleanup.defer(() => postgres.stop());
  return postgres.newDatabase();
}

async function openUpstream(cleanup: Cleanup): Promise<string> {
  const given = setting('UPSTREAM_URL');
  if (isRealKong && given !== undefined) return given;
  const upstream = await startUpstream();
  cleanup.defer(() => upstream.close());
  return upstream.url;
}

type Kong = Pick<Environment, 'nodes' | 'vaultReference' | 'restart' | 'gateways'>;

const nodeOfSettings = (suffix: string): KongNode => ({
  adminUrl: required(`KONG_ADMIN_URL${suffix}`),
  proxyUrl: required(`KONG_PROXY_URL${suffix}`),
  proxySslUrl: required(`KONG_PROXY_SSL_URL${suffix}`),
});

function realKong({ nodes: count = 1 }: EnvironmentOptions): Kong {
  const restartCommand = setting('KONG_RESTART_COMMAND');
  const others =
    count > 1 && setting('KONG_ADMIN_URL_2') !== undefined ? [nodeOfSettings('_2')] : [];
  return {
    nodes: [nodeOfSettings(''), ...others],
    vaultReference: setting('KONG_VAULT_REFERENCE'),
    restart:
      restartCommand === undefined
        ? undefined
        : async () => void (await promisify(exec)(restartCommand)),
    gateways: [],
  };
}

function required(name: string): string {
  const value = setting(name);
  if (value === undefined) throw new Error(`with KONG_ADMIN_URL, ${name} must be set too`);
  return value.replace(/\/$/, '');
}

const SERVER = fileURLToPath(new URL('../../../dist/lib/server/main.js', import.meta.url));

/** Several nodes are what they are in a cluster: each with a plugin server of its own, one configuration. */
async function standIn(
  { nodes: count = 1, trustedIps = [], serverFlags = [], nginxInclude }: EnvironmentOptions,
  cleanup: Cleanup,
): Promise<Kong> {
  if (!existsSync(SERVER)) throw new Error(`${SERVER} is missing: run npm run build first`);
  const folder = await mkdtemp(join(tmpdir(), 'session-guard-e2e-'));
  cleanup.defer(() => rm(folder, { recursive: true, force: true }));
  const cluster = { entities: new Entities(), tls: await createCertificate() };
  const env = { SESSION_SECRET: randomBytes(32).toString('base64') };
  const gateways: Gateway[] = [];
  const start = async (index: number, ports: Ports = {}): Promise<void> => {
    const socketPath = join(folder, `${index}.sock`);
    gateways[index] = await startGateway({
      ...cluster,
      ...ports,
      env,
      trustedIps,
      ...(nginxInclude !== undefined && { nginxInclude }),
      ...nodeOf(socketPath, serverFlags),
    });
  };
  cleanup.defer(() => Promise.all(gateways.map((gateway) => gateway.stop())));
  for (let index = 0; index < count; index++) await start(index);
  const restart = async (): Promise<void> => {
    for (const [index, gateway] of gateways.entries()) {
      await gateway.stop();
      await start(index, portsOf(gateway));
    }
  };
  const [first, ...others] = gateways.map((gateway): KongNode => ({ ...urlsOf(gateway) }));
  if (first === undefined) throw new TypeError('an environment has at least one node');
  const vaultReference = '{vault://env/session-secret}';
  return { nodes: [first, ...others], vaultReference, restart, gateways };
}

type Ports = { adminPort?: number; proxyPort?: number; proxySslPort?: number };

const urlsOf = ({ adminUrl, proxyUrl, proxySslUrl }: KongNode): KongNode => ({
  adminUrl,
  proxyUrl,
  proxySslUrl,
});

const portsOf = ({ adminUrl, proxyUrl, proxySslUrl }: KongNode): Required<Ports> => ({
  adminPort: Number(new URL(adminUrl).port),
  proxyPort: Number(new URL(proxyUrl).port),
  proxySslPort: Number(new URL(proxySslUrl).port),
});

/** The lines of kong.conf, and two workers, so that each request meets another table of instances than the last. */
function nodeOf(socketPath: string, flags: readonly string[]) {
  const command = `'${process.execPath}' '${SERVER}'`;
  return {
    workers: 2,
    server: {
      socketPath,
      startCmd: [`${command} --socket '${socketPath}'`, ...flags].join(' '),
      queryCmd: `${command} -dump${protocol === 'protobuf' ? '' : ` --protocol ${protocol}`}`,
    },
  };
}
