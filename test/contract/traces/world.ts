import { randomUUID } from 'node:crypto';

import { Entities, type Entity, type Json } from '../../support/gateway/entities.ts';
import { type Exchange, type Trace, argumentOf, member, methodOf, textOf } from './trace.ts';

type Fields = { [field: string]: Json };

const MADE_AT = { created_at: 1795308297, updated_at: 1795308297 };
const ALICE = 'ac09f9b8-972e-4024-8581-faecbad246ad';
const BOB = 'dfc56b20-b066-4938-a199-fd06db79f51d';
const ANONYMOUS = 'd2a2771c-5157-4dc7-8ecf-d59288f221e7';
const ECHO = 'e214e1e8-900d-40f0-ad47-c0cae192fc46';
const SECRET = 'this-is-a-test-secret-of-64-characters-0123456789-abcdefghijklmn';

/** The recorded gateway's own entities (read from its answers in the traces). */
export const PEOPLE = {
  alice: { id: ALICE, username: 'alice', custom_id: 'c-alice', tags: ['team-a'], ...MADE_AT },
  bob: { id: BOB, username: 'bob', ...MADE_AT },
  anonymous: { id: ANONYMOUS, username: 'anonymous', ...MADE_AT },
};

/** The plugins beside session-guard, by the phrase in a trace's `plugins`. */
const PLUGINS: { readonly [phrase: string]: readonly Fields[] } = {
  'key-auth': [{ name: 'key-auth', config: {} }],
  'key-auth {anonymous}': [{ name: 'key-auth', config: { anonymous: ANONYMOUS } }],
  'key-auth {anonymous, hide_credentials}': [
    { name: 'key-auth', config: { anonymous: ANONYMOUS, hide_credentials: true } },
  ],
  'key-auth and session-guard on the route': [{ name: 'key-auth', config: {} }],
  'session-guard on consumer alice': [],
  'basic-auth': [{ name: 'basic-auth', config: {} }],
  'acl {allow:[staff]}': [{ name: 'acl', config: { allow: ['staff'] } }],
  cors: [{ name: 'cors', config: { origins: ['https://ui.test'], credentials: true } }],
  'request-termination {403}': [termination(403, 'So it goes.')],
  'request-termination 403 scoped to consumer anonymous': [
    { ...termination(403, 'So it goes.'), consumer: { id: ANONYMOUS } },
  ],
  'request-termination 418 scoped to consumer alice': [
    { ...termination(418, 'alice is barred'), consumer: { id: ALICE } },
  ],
  'rate-limiting {minute 5, limit_by consumer}': [rateLimit(5, 'consumer')],
  'rate-limiting {minute 5, limit_by credential}': [rateLimit(5, 'credential')],
  'rate-limiting 100/min on the route': [rateLimit(100, 'consumer')],
  'rate-limiting 3/min on route+alice': [{ ...rateLimit(3, 'consumer'), consumer: { id: ALICE } }],
  // Its entries are not compared: the stand-in writes no access log.
  'file-log': [],
  'session-guard': [],
};

function termination(status: number, message: string): Fields {
  return { name: 'request-termination', config: { status_code: status, message } };
}

function rateLimit(minute: number, limitBy: string): Fields {
  return { name: 'rate-limiting', config: { minute, limit_by: limitBy } };
}

/** session-guard's configuration with `{}` given, as the Admin API of the recording showed it. */
export type Defaults = Fields;

export interface World {
  readonly entities: Entities;
  /** Puts another plugin somewhere else, or the same one again: all instances are started anew. */
  touchPlugins(): void;
}

/** The configuration that a trace was recorded with: one route, the plugins of its description on it. */
export function createWorld(
  trace: Trace,
  phrases: readonly string[],
  options: { defaults: Defaults; upstreamPort: number; deadPort: number },
): World {
  const entities = new Entities();
  for (const person of Object.values(PEOPLE)) entities.put('consumers', person);
  putCredentials(entities);
  const path = routePath(trace);
  const isDead = path === '/dead';
  entities.put('services', {
    ...recordedRow(trace, 'plugin.StepService', {
      id: ECHO,
      name: 'echo',
      protocol: 'http',
      retries: 5,
    }),
    host: '127.0.0.1',
    port: isDead ? options.deadPort : options.upstreamPort,
  });
  const starts = trace.exchanges.filter(
    (exchange) => methodOf(exchange) === 'plugin.StartInstance',
  );
  const sent = starts[0] && startConfig(starts[0]);
  if (trace.name === '14-no-route') return { entities, touchPlugins: () => undefined };
  const fallback = { id: member(sent, 'route_id') ?? randomUUID(), paths: [path] };
  const route = entities.put('routes', {
    protocols: path === '/https-only' ? ['https'] : ['http', 'https'],
    ...recordedRow(trace, 'plugin.StepRoute', fallback),
    service: { id: ECHO },
  });
  for (const phrase of phrases) {
    const plugins = PLUGINS[phrase];
    if (plugins === undefined) throw new Error(`plugins of ${trace.name}: ${phrase}?`);
    for (const plugin of plugins) entities.put('plugins', { ...plugin, route: { id: route.id } });
  }
  putSessionGuard(entities, { trace, sent, defaults: options.defaults, route });
  return {
    entities,
    touchPlugins: () =>
      entities.put('plugins', { name: 'cors', config: {}, route: { id: randomUUID() } }),
  };
}

function putCredentials(entities: Entities): void {
  const consumer = { id: ALICE };
  const { created_at: madeAt } = MADE_AT;
  entities.put('keyauth_credentials', {
    id: 'dc994857-0507-47e2-9a98-4d884415f70e',
    key: 'k-alice',
    consumer,
    created_at: madeAt,
  });
  entities.put('basicauth_credentials', {
    id: '286eecc8-aff7-4527-9b96-efe38cefae73',
    username: 'alice',
    password: '083e11064202f35bde8a2ad303b0f251ec6e73a2',
    consumer,
    created_at: madeAt,
  });
  entities.put('acls', { group: 'staff', consumer });
}

function putSessionGuard(
  entities: Entities,
  parts: { trace: Trace; sent: Json | undefined; defaults: Defaults; route: Entity },
): void {
  const { trace, sent, defaults, route } = parts;
  if (!isPluginThere(trace)) return;
  const cookieName = member(sent, 'cookie_name') ?? 'session';
  const config = trace.config ?? { ...defaults, secret: SECRET, cookie_name: cookieName };
  const scope = (field: string): Json => {
    const id = member(sent, `${field}_id`);
    return id === undefined ? null : { id };
  };
  const own = { name: 'session-guard', config, enabled: true };
  const id = member(sent, '__plugin_id') ?? randomUUID();
  const scopes =
    sent === undefined
      ? { route: { id: route.id }, service: null, consumer: null }
      : { route: scope('route'), service: scope('service'), consumer: scope('consumer') };
  entities.put('plugins', {
    ...own,
    id,
    ...scopes,
    instance_name: member(sent, 'plugin_instance_name') ?? null,
  });
  // One for the route as well, which must give way to the consumer's.
  if (scopes.consumer !== null) {
    const { cookie_name: _, ...rest } = defaults;
    entities.put('plugins', {
      ...own,
      config: { ...rest, cookie_name: 'other' },
      route: { id: route.id },
    });
  }
}

/** Two traces show a request after the plugin was taken away. */
const isPluginThere = (trace: Trace): boolean =>
  trace.name !== '12-plugin-deleted' && trace.name !== '12-plugin-disabled';

function recordedRow(trace: Trace, method: string, fallback: Fields): Fields {
  const step = trace.exchanges.find((exchange) => methodOf(exchange) === method);
  const row = step && member(argumentOf(step), 'Data');
  return typeof row === 'object' && row !== null && !Array.isArray(row) ? row : fallback;
}

/** The first segment of the request's path: every recorded route has one. */
export function routePath(trace: Trace): string {
  const [request] = trace.requests;
  const target = request?.lines?.[0]?.split(' ')[1] ?? request?.http2?.[':path'] ?? '/';
  return /^\/[^/?]*/.exec(typeof target === 'string' ? target : '')?.[0] ?? '/';
}

/** The configuration in a StartInstance. */
export function startConfig(exchange: Exchange): Json {
  return JSON.parse(textOf(member(argumentOf(exchange), 'Config'))) as Json;
}

/** The parts of a trace's `plugins`; «as before» stands for those of another trace with the same route. */
export function pluginPhrases(trace: Trace, all: readonly Trace[]): string[] {
  const described =
    trace.plugins === 'as before'
      ? all.find((other) => other.plugins !== 'as before' && routePath(other) === routePath(trace))
      : trace;
  return (described?.plugins ?? '').split(/, (?![^{]*\})/);
}
