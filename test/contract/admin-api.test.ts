import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { pluginInfo } from '../../lib/schema.ts';
import { createAdmin, createStartConfig } from '../support/gateway/admin/index.ts';
import type { ExternalPlugin } from '../support/gateway/admin/index.ts';
import type { Schema, Table } from '../support/gateway/admin/schema.ts';
import { Entities } from '../support/gateway/entities.ts';
import type { Json } from '../support/gateway/entities.ts';
import { TRACES } from '../support/traces.ts';

/** Pairs that the stand-in cannot replay, by `group: name`, with the reason. */
const NOT_REPLAYED: ReadonlyMap<string, string> = new Map();

/** Entities that were there before the recording began. */
const BEFORE: readonly [path: string, body: Table][] = [
  [
    '/consumers/ac09f9b8-972e-4024-8581-faecbad246ad',
    { username: 'alice', custom_id: 'c-alice', tags: ['team-a'] },
  ],
  ['/consumers/d2a2771c-5157-4dc7-8ecf-d59288f221e7', { username: 'anonymous' }],
];

/** What a plugin of a recorded instance was scoped to; `protocols` and the like do not matter here. */
const SCOPES: { readonly [kind: string]: Table } = {
  service: { url: 'http://127.0.0.1:9000' },
  route: { paths: ['/'] },
  consumer: { username: 'alice' },
};

const JSON_TYPE: [string, string][] = [['content-type', 'application/json']];

interface Pair {
  readonly name: string;
  readonly request: {
    readonly method: string;
    readonly path: string;
    readonly headers: readonly (readonly [name: string, value: string | number])[];
    readonly body?: string;
  };
  readonly response: { readonly status: number; readonly body: Table | string };
}

interface Gateway {
  send(method: string, path: string, headers: [string, string][], body?: string): Promise<Response>;
  /** The id of the next entity. */
  nextId: string | undefined;
  readonly entities: Entities;
  close(): void;
}

describe('the Admin API answers as Kong did', () => {
  const entities = new Entities();
  const groups = [
    'services-routes',
    'consumers-credentials',
    'plugin-create',
    'plugin-invalid',
    'form-encoded',
    'schema',
    'bundled-plugins',
    'plugin-required',
    'plugin-required-record',
  ];
  for (const group of groups)
    test(group, async (context) => {
      const gateway = await startGateway(entities, {
        name: 'session-guard',
        schema: recorded(group),
      });
      context.after(() => gateway.close());
      if (group === 'services-routes')
        for (const [path, body] of BEFORE) await put(gateway, path, body);
      const pairs = readPairs(group);
      const replaced = new Map<string, string>();
      for (const [index, pair] of pairs.entries()) {
        const title = `${group}: ${pair.name}`;
        const reason = NOT_REPLAYED.get(title);
        await context.test(title, { skip: reason ?? false }, () => replay(gateway, pair, replaced));
        for (const id of unmentionedAfter(pairs, index))
          await gateway.send('DELETE', `/plugins/${id}`, []);
      }
    });

  after(() => {
    for (const [title, reason] of NOT_REPLAYED) console.log(`NOT REPLAYED: ${title}: ${reason}`);
    console.log(`${NOT_REPLAYED.size} recorded pairs of the Admin API are not replayed`);
  });
});

describe('a plugin instance is started with the configuration Kong sent', () => {
  const plugin = { name: 'session-guard', schema: recorded('schema') };
  let gateway: Gateway;
  before(async () => {
    gateway = await startGateway(new Entities(), plugin);
  });
  after(() => gateway.close());

  for (const trace of [
    '01-start-default-config',
    '01-start-rich-config',
    '01-start-empty-collections',
    '12-consumer-scope',
    '12-global-scope',
    '12-service-scope',
    '15-vault-start',
  ])
    test(trace, async () => {
      const { config, environment, started } = readStart(trace);
      const scope: Table = {};
      for (const [kind, body] of Object.entries(SCOPES)) {
        const id = started[`${kind}_id`];
        if (typeof id !== 'string') continue;
        await put(gateway, `/${kind}s/${id}`, body);
        scope[kind] = { id };
      }
      gateway.nextId = started.__plugin_id;
      const instance = started['plugin_instance_name'] ?? null;
      const body = { name: 'session-guard', instance_name: instance, config, ...scope };
      const created = await gateway.send('POST', '/plugins', JSON_TYPE, JSON.stringify(body));
      assert.equal(created.status, 201, await created.text());
      const entity = gateway.entities.get('plugins', started.__plugin_id);
      assert.ok(entity);
      const startConfig = createStartConfig({ plugins: [plugin], env: environment });
      assert.deepEqual(startConfig(entity, started.__seq__), started);
    });
});

describe('the Admin API beyond the recordings', () => {
  const guard = pluginInfo();
  let gateway: Gateway;
  before(async () => {
    const plugin = { name: guard.Name, schema: guard.Schema as Schema };
    gateway = await startGateway(new Entities(), plugin);
    await put(gateway, '/services/s', { url: 'http://127.0.0.1:9000' });
    await put(gateway, '/routes/r', { paths: ['/r'], service: { name: 's' } });
  });
  after(() => gateway.close());

  /** Sends JSON; the answer as `[status, body]`. */
  async function json(method: string, path: string, body: Table): Promise<[number, Table]> {
    const response = await gateway.send(method, path, JSON_TYPE, JSON.stringify(body));
    return [response.status, (await response.json()) as Table];
  }

  test('a consumer goes with its credentials, groups and plugins', async () => {
    await put(gateway, '/consumers/zoe', { username: 'zoe' });
    const children: [string, Table][] = [
      ['key-auth', {}],
      ['basic-auth', { username: 'zoe', password: 'pw' }],
      ['acls', { group: 'staff' }],
      ['plugins', { name: 'request-termination' }],
    ];
    for (const [path, body] of children)
      assert.equal((await json('POST', `/consumers/zoe/${path}`, body))[0], 201, path);
    await gateway.send('DELETE', '/consumers/zoe', []);
    for (const path of ['key-auths', 'basic-auths', 'acls', 'plugins']) {
      const response = await gateway.send('GET', `/${path}`, []);
      assert.deepEqual(await response.json(), { data: [], next: null });
    }
  });

  test('a route goes with its plugins', async () => {
    await put(gateway, '/routes/short', { paths: ['/short'], service: { name: 's' } });
    assert.equal((await json('POST', '/routes/short/plugins', { name: 'cors' }))[0], 201);
    await gateway.send('DELETE', '/routes/short', []);
    assert.deepEqual(gateway.entities.list('plugins'), []);
  });

  test('a schema forbids a scope', async () => {
    await put(gateway, '/consumers/yan', { username: 'yan' });
    const config = { secret: 'x'.repeat(32) };
    const [, body] = await json('POST', '/consumers/yan/plugins', { name: guard.Name, config });
    assert.equal(body['message'], 'schema violation (consumer: value must be null)');
  });

  test('checks across fields of the configuration are reported inside it', async () => {
    const config = { secret: 'x'.repeat(32), storage: 'kong' };
    const [status, body] = await json('POST', '/routes/r/plugins', { name: guard.Name, config });
    assert.equal(status, 400);
    // As Kong 3.9.1 answers to the same.
    const check = 'storage kong needs the record postgres, with a url or a host';
    const schema = 'value must not be null';
    assert.deepEqual(body['fields'], { config: { postgres: { schema }, '@entity': [check] } });
    const entity = `config.@entity: {\n  "${check}"\n}`;
    assert.equal(
      body['message'],
      `2 schema violations (${entity}; config.postgres: {\n  schema = "${schema}"\n})`,
    );
  });

  test('names that mean something to JavaScript are unknown fields', async () => {
    const text = '{"name":"cors","config":{"__proto__":{"a":1},"constructor":1}}';
    const response = await gateway.send('POST', '/routes/r/plugins', JSON_TYPE, text);
    const { message } = (await response.json()) as { message: string };
    assert.equal(
      message,
      '2 schema violations (config.__proto__: unknown field; config.constructor: unknown field)',
    );
  });

  test('a name that leads nowhere is no foreign key', async () => {
    const route = { paths: ['/x'], service: { name: 'none' } };
    const [status, body] = await json('POST', '/routes', route);
    assert.equal(status, 400);
    const problem = `the foreign key cannot be resolved with '{name="none"}' for an existing 'services' entity`;
    assert.equal(body['message'], `foreign key unresolved (service.name: ${problem})`);
  });

  test('a deprecated name is taken for the one that replaced it', async () => {
    const config = { minute: 5, redis_host: 'redis.test' };
    const [, body] = await json('POST', '/routes/r/plugins', { name: 'rate-limiting', config });
    const shown = body['config'] as { redis: Table; redis_host: string };
    assert.deepEqual([shown.redis['host'], shown.redis_host], ['redis.test', 'redis.test']);
  });

  test('a schema that would stop Kong stops the gateway', () => {
    const wrong: [Table, RegExp][] = [
      [{ type: 'string', examples: ['a'] }, /p\.x: examples: unknown field/],
      [{ type: 'string', description: 'short' }, /p\.x: a description has 10 to 500 characters/],
    ];
    for (const [field, error] of wrong) {
      const schema = { name: 'p', fields: [{ x: field }] } as unknown as Schema;
      const create = () => createAdmin(new Entities(), { plugins: [{ name: 'p', schema }] });
      assert.throws(create, error);
    }
  });
});

async function startGateway(entities: Entities, plugin: ExternalPlugin): Promise<Gateway> {
  const gateway: Gateway = {
    entities,
    nextId: undefined,
    send: (method, path, headers, body) =>
      fetch(`http://127.0.0.1:${port}${path}`, {
        method,
        headers,
        ...(body !== undefined && { body }),
      }),
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
  const newId = () => gateway.nextId ?? randomUUID();
  const server = createServer(createAdmin(entities, { plugins: [plugin], newId }));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return gateway;
}

async function put(gateway: Gateway, path: string, body: Table): Promise<void> {
  const response = await gateway.send('PUT', path, JSON_TYPE, JSON.stringify(body));
  assert.equal(response.status, 200, await response.text());
}

/** Sends the request and compares the answer; ids are those of the recording, so that pages are in its order. */
async function replay(gateway: Gateway, pair: Pair, replaced: Map<string, string>): Promise<void> {
  const { request, response: expected } = pair;
  const id = typeof expected.body === 'string' ? undefined : expected.body['id'];
  gateway.nextId = typeof id === 'string' ? id : undefined;
  const headers = request.headers
    .filter(([name]) => name !== 'Content-Length')
    .map(([name, value]): [string, string] => [name, String(value)]);
  const response = await gateway.send(request.method, request.path, headers, request.body);
  let text = await response.text();
  if (pair.name.endsWith('generated key') && typeof expected.body !== 'string') {
    const [made, original] = [JSON.parse(text), expected.body] as { key: string }[];
    assert.match(made?.key ?? '', /^[\w-]{32}$/);
    replaced.set(made?.key ?? '', original?.key ?? '');
  }
  for (const [made, original] of replaced) text = text.replaceAll(made, original);
  assert.equal(response.status, expected.status, text);
  if (typeof expected.body === 'string') assert.equal(text, expected.body);
  else assert.deepEqual(JSON.parse(text, withoutTime), withoutTimes(expected.body));
}

/** Times are compared by their type only. */
function withoutTime(name: string, value: unknown): unknown {
  return name === 'created_at' || name === 'updated_at' ? typeof value : value;
}

function withoutTimes(body: Table): unknown {
  return JSON.parse(JSON.stringify(body), withoutTime);
}

/** The recorder deleted each plugin after the last pair about it. */
function unmentionedAfter(pairs: readonly Pair[], index: number): string[] {
  const body = pairs[index]?.response.body;
  const ids =
    JSON.stringify(pairs[index]).match(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g) ?? [];
  const later = JSON.stringify(pairs.slice(index + 1));
  return body === undefined ? [] : ids.filter((id) => !later.includes(id));
}

function readPairs(group: string): Pair[] {
  return JSON.parse(readFileSync(new URL(`admin-api/${group}.json`, TRACES), 'utf8')) as Pair[];
}

/** The schema of the recorded plugin; the variants require a secret and, in the database record, a url. */
function recorded(group: string): Schema {
  const shown = readPairs('schema')[0]?.response.body;
  return JSON.parse(JSON.stringify(shown), (name: string, value: Table): unknown => {
    if (!group.startsWith('plugin-required')) return value;
    if (name === 'secret' || name === 'url') return { ...value, required: true };
    if (name !== 'database' || group === 'plugin-required') return value;
    return Object.fromEntries(
      Object.entries(value).filter(([attribute]) => attribute !== 'required'),
    );
  }) as Schema;
}

/** What StartInstance was called with; the keys used here, the rest is the configuration. */
type Started = Table & { __plugin_id: string; __seq__: number };

/** What a trace of an instance's start says: the plugin's configuration, Kong's environment, what was sent. */
function readStart(trace: string): {
  config: Table;
  environment: { [name: string]: string };
  started: Started;
} {
  const lines = readFileSync(new URL(`${trace}.jsonl`, TRACES), 'utf8')
    .trim()
    .split('\n');
  const [metadata, ...frames] = lines.map((line) => JSON.parse(line) as { [name: string]: Json });
  const start = frames
    .map(({ frame }) => frame)
    .find((frame) => Array.isArray(frame) && frame[2] === 'plugin.StartInstance');
  assert.ok(Array.isArray(start));
  const [{ Config: text }] = start[3] as [{ Config: string }];
  const started = JSON.parse(text) as Started;
  return {
    config: (metadata?.['config'] ?? withoutBookkeeping(started)) as Table,
    environment: (metadata?.['environment'] ?? {}) as { [name: string]: string },
    started,
  };
}

function withoutBookkeeping(started: Table): Table {
  const kept = Object.entries(started).filter(([name]) => !/^(__|plugin_)|_id$/.test(name));
  return Object.fromEntries(kept);
}
