import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Cleanup } from '../../e2e/support/cleanup.ts';
import { Admin, type Entity } from '../admin.ts';
import { type Ask, Browser, type Reply, echoOf, send } from '../client.ts';
import { Entities } from '../gateway/entities.ts';
import { type Gateway, type GatewayOptions, startGateway } from '../gateway/index.ts';
import { startUpstream, type Upstream } from '../upstream.ts';

export type Protocol = 'msgpack' | 'protobuf';
export const PROTOCOLS: readonly Protocol[] = ['msgpack', 'protobuf'];

export interface StageOptions {
  readonly protocol: Protocol;
  /** The plugin's configuration; the secret is the stage's. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Nodes of one cluster, each with a plugin server of its own. Default 1. */
  readonly nodes?: number;
  /** For the plugin server's process, before its program. */
  readonly nodeArgs?: readonly string[];
  /** Serves on this socket in the place of a process; resolves with what ends it. */
  readonly serve?: (socketPath: string) => Promise<() => Promise<void>>;
  /** Stands between Kong and the server's socket; resolves with where Kong finds it. */
  readonly between?: (socketPath: string) => Promise<string>;
  readonly gateway?: Pick<GatewayOptions, 'readTimeoutMs' | 'idleMs' | 'onLog' | 'nginxInclude'>;
}

export interface Person {
  readonly id: string;
  readonly key: string;
}

/** Whom the upstream took the request for: served as its owner, refused, unavailable, or worse. */
export type Outcome = 'served' | 'refused' | 'unavailable' | 'wrong';

const HOST = 'app.test';
const ATTEMPTS = 20;
export const LOGOUT: Ask = { method: 'DELETE', path: '/?session_logout=true' };
export const SERVER = fileURLToPath(new URL('../../../dist/lib/server/main.js', import.meta.url));

/**
 * Kong with the documented set-up: key-auth with `anonymous`, session-guard, and request-termination for the anonymous
 * consumer. Plain HTTP, so that the cookies are not Secure.
 */
export class Stage {
  readonly gateways: readonly [Gateway, ...Gateway[]];
  readonly upstream: Upstream;
  readonly admin: Admin;
  readonly plugin: Entity;
  readonly #anonymous: string;
  readonly #cleanup: Cleanup;

  private constructor(
    parts: Pick<Stage, 'gateways' | 'upstream' | 'admin' | 'plugin'>,
    anonymous: string,
    cleanup: Cleanup,
  ) {
    this.gateways = parts.gateways;
    this.upstream = parts.upstream;
    this.admin = parts.admin;
    this.plugin = parts.plugin;
    this.#anonymous = anonymous;
    this.#cleanup = cleanup;
  }

  static open(options: StageOptions): Promise<Stage> {
    const cleanup = new Cleanup();
    return cleanup.around(async () => {
      const upstream = await startUpstream();
      cleanup.defer(() => upstream.close());
      const gateways = await startNodes(options, cleanup);
      const admin = new Admin(gateways[0].adminUrl);
      const { plugin, anonymous } = await configure(admin, upstream.url, options.config);
      return new Stage({ gateways, upstream, admin, plugin }, anonymous, cleanup);
    });
  }

  /** Everything that was started ends, the plugin servers by SIGTERM. */
  close(): Promise<void> {
    return this.#cleanup.run();
  }

  get gateway(): Gateway {
    return this.gateways[0];
  }

  async person(): Promise<Person> {
    const { id } = await this.admin.create('/consumers', {
      username: randomBytes(8).toString('hex'),
    });
    const key = randomBytes(16).toString('hex');
    await this.admin.create(`/consumers/${id}/key-auth`, { key });
    return { id, key };
  }

  people(count: number): Promise<Person[]> {
    return Promise.all(Array.from({ length: count }, () => this.person()));
  }

  browser(node = 0): Browser {
    const gateway = this.gateways[node];
    if (gateway === undefined) throw new TypeError(`there is no node ${node}`);
    return new Browser(gateway, HOST);
  }

  /** A browser in which the person is signed in. A store that is still being prepared is waited for. */
  async signIn(person: Person, browser = this.browser()): Promise<Browser> {
    for (let attempt = 1; ; attempt++) {
      const reply = await browser.ask({ scheme: 'http', headers: { apikey: person.key } });
      if (reply.status === 200 && reply.setCookies.length > 0) return browser;
      if (attempt === ATTEMPTS) {
        throw new Error(`no sign-in, but ${reply.status} ${reply.body.slice(0, 200)}`);
      }
      await sleep(attempt * 20);
    }
  }

  /** One request without a browser. */
  ask(ask: Ask = {}): Promise<Reply> {
    return send(this.gateway, HOST, { scheme: 'http', ...ask });
  }

  /** How the answer treats a request that is this person's, or nobody's. */
  judge(reply: Reply, person?: Person): Outcome {
    if (reply.status >= 500) return 'unavailable';
    if (reply.status !== 200) return 'refused';
    const id = identityOf(reply);
    return id !== undefined && id === person?.id && id !== this.#anonymous ? 'served' : 'wrong';
  }
}

/** Whom Kong told the upstream of; `undefined` = the answer is not the upstream's. */
export function identityOf(reply: Reply): string | undefined {
  try {
    const id = echoOf(reply).headers['x-consumer-id'];
    return typeof id === 'string' ? id : 'nobody';
  } catch {
    return undefined;
  }
}

async function startNodes(
  options: StageOptions,
  cleanup: Cleanup,
): Promise<[Gateway, ...Gateway[]]> {
  if (!existsSync(SERVER)) throw new Error(`${SERVER} is missing: run npm run build first`);
  const folder = await mkdtemp(join(tmpdir(), 'session-guard-stage-'));
  cleanup.defer(() => rm(folder, { recursive: true, force: true }));
  const entities = new Entities();
  const start = async (index: number): Promise<Gateway> => {
    const socketPath = join(folder, `${index}.sock`);
    const server = await serverOf(socketPath, options, cleanup);
    const gateway = await startGateway({ ...options.gateway, entities, workers: 2, server });
    cleanup.defer(() => gateway.stop());
    return gateway;
  };
  const first = await start(0);
  const others: Gateway[] = [];
  for (let index = 1; index < (options.nodes ?? 1); index++) others.push(await start(index));
  return [first, ...others];
}

async function serverOf(socketPath: string, options: StageOptions, cleanup: Cleanup) {
  const { protocol, nodeArgs = [], serve, between } = options;
  const command = [process.execPath, ...nodeArgs, SERVER].map((part) => `'${part}'`).join(' ');
  const queryCmd = `${command} -dump --protocol ${protocol}`;
  const found = between ? await between(socketPath) : socketPath;
  if (serve === undefined) {
    const startCmd = `${command} --log-level warn --socket '${socketPath}'`;
    return { socketPath: found, queryCmd, startCmd };
  }
  cleanup.defer(await serve(socketPath));
  return { socketPath: found, queryCmd };
}

async function configure(admin: Admin, url: string, config: StageOptions['config']) {
  const service = await admin.create('/services', { name: 'echo', url });
  const anonymous = await admin.create('/consumers', { username: 'anonymous' });
  await admin.create(`/consumers/${anonymous.id}/plugins`, {
    name: 'request-termination',
    config: { status_code: 403, message: 'Sign in first.' },
  });
  const route = await admin.create(`/services/${service.id}/routes`, {
    name: 'app',
    hosts: [HOST],
  });
  await admin.create(`/routes/${route.id}/plugins`, {
    name: 'key-auth',
    config: { anonymous: anonymous.id },
  });
  const plugin = await admin.create(`/routes/${route.id}/plugins`, {
    name: 'session-guard',
    config: { secret: randomBytes(32).toString('base64'), cookie_secure: false, ...config },
  });
  return { plugin, anonymous: anonymous.id };
}
