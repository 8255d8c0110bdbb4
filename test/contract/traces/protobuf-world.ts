import { createHash, randomUUID } from 'node:crypto';

import { Entities, type Json } from '../../support/gateway/entities.ts';
import { type ProtobufTrace, commandOf, messageOf } from './protobuf-trace.ts';
import { type RecordedRequest, member, textOf } from './trace.ts';

type Fields = { [field: string]: Json };

const id = (number: number): string =>
  `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;
const [ALICE, BOB, ANONYMOUS, ECHO] = [id(1), id(2), id(3), id(11)];
const SECRET = 'this-is-a-test-secret-of-64-characters-0123456789-abcdefghijklmn';
const LIMIT = { name: 'rate-limiting', config: { minute: 500, limit_by: 'consumer' } };
const ACL = { name: 'acl', config: { allow: ['staff'] } };

/** The plugins beside session-guard, by the phrase in a trace's `plugins`; those that only log are left out. */
const PLUGINS: { readonly [phrase: string]: readonly Fields[] } = {
  'key-auth': [{ name: 'key-auth', config: {} }],
  'key-auth {anonymous}': [{ name: 'key-auth', config: { anonymous: ANONYMOUS } }],
  'basic-auth': [{ name: 'basic-auth', config: {} }],
  acl: [ACL],
  'acl {allow: [staff]}': [ACL],
  'rate-limiting': [LIMIT],
  'rate-limiting (limit_by consumer)': [LIMIT],
  'request-termination (403, consumer anonymous)': [
    {
      name: 'request-termination',
      config: { status_code: 403, message: 'So it goes.' },
      consumer: { id: ANONYMOUS },
    },
  ],
  'session-guard': [],
  'post-function': [],
  'post-function (logs what it sees)': [],
  'file-log': [],
  'correlation-id': [],
};

export const pathOf = (request: RecordedRequest): string => {
  const target = request.lines?.[0]?.split(' ')[1] ?? request.http2?.[':path'] ?? '/';
  return /^\/[^/?]*/.exec(typeof target === 'string' ? target : '')?.[0] ?? '/';
};

export interface ProtobufWorld {
  readonly entities: Entities;
  /** The plugins that go through the Admin API, which fills their configuration in. */
  readonly plugins: readonly (Fields & { readonly id: string })[];
}

/** The configuration that a trace was recorded with, one route for each path that it asks for. */
export function createProtobufWorld(trace: ProtobufTrace, port: number): ProtobufWorld {
  const entities = new Entities();
  putPeople(entities, trace);
  const paths = [...new Set(trace.requests.map(pathOf))];
  entities.put('services', { id: ECHO, protocol: 'http', host: '127.0.0.1', port, retries: 5 });
  const configs = startConfigs(trace);
  const plugins = paths.map((path, i) => {
    const sent = paths.length === 1 || configs.length >= paths.length ? configs[i] : undefined;
    const route = entities.put('routes', {
      id: member(sent, 'route_id') ?? randomUUID(),
      paths: [path],
      protocols: ['http', 'https'],
      ...recordedRoute(trace),
      service: { id: ECHO },
    });
    const scope = { route: { id: route.id } };
    for (const plugin of otherPlugins(trace)) entities.put('plugins', { ...plugin, ...scope });
    const cookieName = member(sent, 'cookie_name') ?? 'session';
    const config = trace.config ?? { secret: SECRET, cookie_name: cookieName };
    const own = textOf(member(sent, '__plugin_id')) || randomUUID();
    const instance = member(sent, 'plugin_instance_name');
    const label = instance === undefined ? {} : { instance_name: instance };
    return { id: own, name: 'session-guard', config, ...label, ...scope };
  });
  return { entities, plugins };
}

function startConfigs(trace: ProtobufTrace): Json[] {
  const starts = trace.items.flatMap((item) => commandOf(item, 'start_instance') ?? []);
  return starts.map((start) => JSON.parse(textOf(member(start, 'config'))) as Json);
}

function otherPlugins(trace: ProtobufTrace): Fields[] {
  return trace.plugins.split(/, (?![^{(]*[})])/).flatMap((phrase) => {
    const plugins = PLUGINS[phrase];
    if (plugins === undefined) throw new Error(`plugins of ${trace.name}: ${phrase}?`);
    return plugins;
  });
}

function putPeople(entities: Entities, trace: ProtobufTrace): void {
  const times = { created_at: madeAt(trace), updated_at: madeAt(trace) };
  const alice = { id: ALICE, username: 'alice', custom_id: 'c-alice', tags: ['team-a'], ...times };
  entities.put('consumers', alice);
  entities.put('consumers', { id: BOB, username: 'bob', ...times });
  entities.put('consumers', { id: ANONYMOUS, username: 'anonymous', ...times });
  const owned = (number: number, consumer: string): Fields => ({
    id: id(number),
    consumer: { id: consumer },
    created_at: madeAt(trace),
  });
  entities.put('keyauth_credentials', { ...owned(21, ALICE), key: 'k-alice' });
  entities.put('keyauth_credentials', { ...owned(23, BOB), key: 'k-bob' });
  const password = createHash('sha1').update(`wonderland${ALICE}`).digest('hex');
  entities.put('basicauth_credentials', { ...owned(22, ALICE), username: 'alice', password });
  entities.put('acls', { group: 'staff', consumer: { id: ALICE } });
}

/** When the recorded gateway's entities were made; each start of it made them anew. */
function madeAt(trace: ProtobufTrace): number {
  const text = JSON.stringify(trace.items);
  return Number(/"created_at":(?:\{"number_value":)?(\d{10})/.exec(text)?.[1] ?? 0);
}

function recordedRoute(trace: ProtobufTrace): Fields {
  const fields = trace.items.find((item) => messageOf(item) === 'Route')?.decoded?.['fields'];
  return typeof fields === 'object' && fields !== null && !Array.isArray(fields) ? fields : {};
}
