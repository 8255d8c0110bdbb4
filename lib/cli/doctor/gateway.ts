import { CliError, usageError } from '../command.ts';
import { isFields, objectsIn } from '../bundled/found.ts';
import type { Fields } from '../bundled/found.ts';
import { NAME } from '../../schema.ts';
import type { Protocol } from '../../server/dump.ts';
import { protocolIn } from './protocol.ts';

export interface Plugin {
  readonly id: string;
  readonly name: string;
  readonly enabled: boolean;
  readonly config: Fields;
  /** Ids; all absent for a global plugin. */
  readonly route: string | undefined;
  readonly service: string | undefined;
  /** Or of a group. */
  readonly consumer: string | undefined;
}

export interface Route {
  readonly id: string;
  readonly name: string;
  readonly service: string | undefined;
}

/** What the Admin API says of the node itself. */
interface Node {
  readonly version: string;
  readonly hasLoaded: boolean;
  /** `{name, value}` of the nginx directives that kong.conf puts into the proxy's block; `undefined` = not told. */
  readonly proxyDirectives: readonly Fields[] | undefined;
  /** What Kong speaks with the plugin server; `undefined` = not told. */
  readonly protocol: Protocol | undefined;
  /** Whether it fails to tell of itself. */
  readonly isMute: boolean;
}

/** What the Admin API says, as far as sessions depend on it. */
export interface Gateway extends Node {
  readonly plugins: readonly Plugin[];
  readonly routes: readonly Route[];
  /** The id of a consumer by what `anonymous` calls it: an id or a username. */
  readonly consumer: (reference: string) => Promise<string | undefined>;
}

const TIMEOUT = 10_000;
const PAGES = 10_000;

/** Reads a gateway's configuration. @throws CliError if the Admin API does not answer as one */
export async function readGateway(url: string, token: string | undefined): Promise<Gateway> {
  const api = new AdminApi(url, token);
  return {
    ...(await readNode(api)),
    plugins: (await api.list('/plugins')).map(toPlugin),
    routes: (await api.list('/routes')).map(toRoute),
    consumer: async (reference) =>
      idOf(await api.get(`/consumers/${encodeURIComponent(reference)}`, true)),
  };
}

async function readNode(api: AdminApi): Promise<Node> {
  const response = await api.ask('/');
  const [, mute] = /^kong\/(\d[\w.-]*)/.exec(response.headers.get('server') ?? '') ?? [];
  // Kong 3.9.0 and 3.9.1 cannot tell of a plugin server that they have started themselves (Kong/kong#14111).
  if (response.status === 500 && mute !== undefined) {
    const hasLoaded = (await api.get(`/schemas/plugins/${NAME}`, true)) !== undefined;
    const unknown = { proxyDirectives: undefined, protocol: undefined };
    return { version: mute, hasLoaded, ...unknown, isMute: true };
  }
  const root = await api.read('/', response);
  const { version, plugins, configuration } = isFields(root) ? root : {};
  if (typeof version !== 'string' || !isFields(plugins)) {
    throw new CliError('--admin-url does not lead to an Admin API of Kong');
  }
  const { available_on_server: available } = plugins;
  const directives = isFields(configuration) ? configuration['nginx_proxy_directives'] : undefined;
  return {
    version,
    hasLoaded: isFields(available) && Object.hasOwn(available, NAME),
    proxyDirectives: Array.isArray(directives)
      ? objectsIn(directives).map(([directive]) => directive)
      : undefined,
    protocol: isFields(configuration) ? protocolIn(configuration) : undefined,
    isMute: false,
  };
}

class AdminApi {
  readonly #url: string;
  readonly #token: string | undefined;

  constructor(url: string, token: string | undefined) {
    const { protocol, username, password } = URL.canParse(url) ? new URL(url) : new URL('none:');
    if (!/^https?:$/.test(protocol) || username + password !== '') {
      throw usageError(
        '--admin-url must look like http://localhost:8001, without user and password',
      );
    }
    this.#url = url.replace(/\/+$/, '');
    this.#token = token;
  }

  /** Any answer. */
  ask(path: string): Promise<Response> {
    return fetch(`${this.#url}${path}`, {
      signal: AbortSignal.timeout(TIMEOUT),
      headers: this.#token === undefined ? {} : { 'Kong-Admin-Token': this.#token },
    }).catch((cause: unknown) => {
      throw new CliError(`the Admin API cannot be reached: ${reasonOf(cause)}`);
    });
  }

  /** `undefined` for 404 where that may be. */
  async get(path: string, mayLack = false): Promise<unknown> {
    return this.read(path, await this.ask(path), mayLack);
  }

  async read(path: string, response: Response, mayLack = false): Promise<unknown> {
    if (response.status === 404 && mayLack) return undefined;
    if (!response.ok) throw new CliError(`the Admin API answers ${response.status} to GET ${path}`);
    return response.json().catch(() => undefined);
  }

  async list(collection: string): Promise<Fields[]> {
    const entities: Fields[] = [];
    let path: unknown = `${collection}?size=1000`;
    for (let page = 0; page < PAGES && typeof path === 'string'; page++) {
      const answer = await this.get(path);
      if (!isFields(answer)) break;
      entities.push(...objectsIn(answer['data']).map(([entity]) => entity));
      path = answer['next'];
    }
    return entities;
  }
}

/** An error of fetch keeps the reason in its cause. */
function reasonOf(error: unknown): string {
  const { cause, name } = error as Error;
  const code = isFields(cause) ? cause['code'] : undefined;
  return typeof code === 'string' ? code : name;
}

const idOf = (reference: unknown): string | undefined =>
  isFields(reference) && typeof reference['id'] === 'string' ? reference['id'] : undefined;

const toPlugin = (entity: Fields): Plugin => ({
  id: String(entity['id']),
  name: String(entity['name']),
  enabled: entity['enabled'] !== false,
  config: isFields(entity['config']) ? entity['config'] : {},
  route: idOf(entity['route']),
  service: idOf(entity['service']),
  consumer: idOf(entity['consumer']) ?? idOf(entity['consumer_group']),
});

const toRoute = (entity: Fields): Route => ({
  id: String(entity['id']),
  name: String(entity['name'] ?? entity['id']),
  service: idOf(entity['service']),
});

/** The plugins that run on a route for a consumer nobody has named: of each name the most specific one. */
export function pluginsOn(route: Route, plugins: readonly Plugin[]): Plugin[] {
  const best = new Map<string, Plugin>();
  for (const plugin of plugins) {
    if (!plugin.enabled || plugin.consumer !== undefined || !appliesTo(plugin, route)) continue;
    const known = best.get(plugin.name);
    if (known === undefined || rank(plugin) > rank(known)) best.set(plugin.name, plugin);
  }
  return [...best.values()];
}

export const appliesTo = (plugin: Plugin, route: Route): boolean =>
  (plugin.route === undefined || plugin.route === route.id) &&
  (plugin.service === undefined || plugin.service === route.service);

const rank = ({ route, service }: Plugin): number =>
  (route === undefined ? 0 : 2) + (service === undefined ? 0 : 1);
