import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import * as fc from 'fast-check';
import { parse, parseAllDocuments } from 'yaml';
import { convert } from '../../lib/cli/bundled/convert.ts';
import { BUNDLED_FIELDS } from '../../lib/cli/bundled/names.ts';
import { parseConfig } from '../../lib/config.ts';
import { NAME, pluginInfo } from '../../lib/schema.ts';
import { Admin } from '../support/admin.ts';
import { createAdmin } from '../support/gateway/admin/index.ts';
import type { Schema } from '../support/gateway/admin/schema.ts';
import { Entities } from '../support/gateway/entities.ts';
import { run } from '../unit/cli/run.ts';
import { runs } from '../support/runs.ts';

/* Whatever `session-guard portal-conf` prints, Kong's Admin API and session-guard take. */

const SECRET = 'Xk3v9Qp7Lr2Tz8Ws5Yb1Nc6Md4Fg0HjKEaRiUo';

/** As Kong's documentation of the Dev Portal prints them. */
const DOCUMENTED: readonly (readonly [string, string, Record<string, unknown>])[] = [
  [
    'HTTPS on one domain',
    '{ "cookie_name":"$4m04$" "secret":"change-this-secret" "storage":"kong" "cookie_secure":true }',
    { storage: 'kong', cookie_name: '$4m04$', cookie_secure: true },
  ],
  [
    'HTTP for tests',
    '{ "cookie_name":"04tm34l" "secret":"change-this-secret" "storage":"kong" "cookie_secure":false }',
    { storage: 'kong', cookie_name: '04tm34l', cookie_secure: false },
  ],
  [
    'sibling sub-domains',
    `{ "storage":"kong", "cookie_name":"portal_session", "cookie_domain":".xyz.com", "secret":"super-secret",
       "cookie_secure":false, "rolling_timeout":31557600, "cookie_same_site":"Lax" }`,
    {
      storage: 'kong',
      cookie_name: 'portal_session',
      cookie_domain: '.xyz.com',
      cookie_secure: false,
      rolling_timeout: 31_557_600,
      cookie_same_site: 'Lax',
    },
  ],
];

const plugin = (fields: object, config: object): string =>
  JSON.stringify({
    name: 'session',
    id: '1',
    instance_name: 'x',
    created_at: 1,
    ...fields,
    config,
  });

const INPUTS: readonly string[] = [
  '{}',
  'portal_session_conf = { "cookie_lifetime":3600 "cookie_renew":600 "cookie_samesite":"off" }',
  '{"cookie_idletime":null,"cookie_discard":20,"cookie_httponly":false,"cookie_persistent":true}',
  '{"cookie_name":"it\'s","cookie_path":"/a;b"}',
  '{"cookie_name":"__Host-x","cookie_domain":"xyz.com","cookie_secure":false}',
  '{"cookie_name":"no","audience":"off","logout_query_arg":"1_000"}',
  '{"secret":"{vault://hcv/kong/secret}","storage":"postgres","stale_ttl":99999}',
  '{"logout_query_arg":"$(touch x)\\u0000`\'\\"","logout_post_arg":"ü"}',
  '{"cookie_same_site":"Default","logout_methods":[],"idling_timeout":0.5}',
  '{"remember":true,"remember_cookie_name":"keep","bind":["ip"],"response_headers":["id"]}',
  '{"remember":true,"remember_cookie_name":"session"}',
  '{"hash_subject":true,"store_metadata":true,"request_headers":["timeout","nonsense"]}',
  plugin({ service: { id: 'a1' }, tags: ['x', 'a,b'], protocols: ['http', 'tcp'] }, {}),
  plugin({ route: { name: "cart's" }, enabled: false, protocols: ['https'] }, { storage: 'kong' }),
  `{"data":[${plugin({}, { audience: 'a' })},${plugin({ service: 'shop' }, { audience: 'b' })}]}`,
  `_format_version: "3.0"
services:
  - name: shop
    plugins: [{ name: session, config: { cookie_samesite: off, cookie_secure: no, storage: kong } }]
    routes: [{ name: cart, plugins: [{ name: session, config: { cookie_lifetime: 7200 } }] }]`,
  'kind: KongPlugin\nplugin: session\nmetadata: { name: s }\nconfig: { cookie_name: "0x1f" }\n',
];

interface Plugin {
  readonly config: Record<string, unknown>;
  readonly [field: string]: unknown;
}

interface Json {
  readonly configurations: readonly { readonly config: Record<string, unknown> | null }[];
  readonly output: Record<'admin-api' | 'yaml' | 'kongplugin', string>;
}

let server: Server;
let url: string;
let admin: Admin;

before(async () => {
  const { Name: name, Schema: schema } = pluginInfo();
  const entities = new Entities();
  server = createServer(createAdmin(entities, { plugins: [{ name, schema: schema as Schema }] }));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  admin = new Admin(url);
});

after(() => {
  server.closeAllConnections();
  server.close();
});

/** As a vault would. */
const withSecrets = (config: Record<string, unknown>) => ({
  ...config,
  secret: SECRET,
  ...('postgres' in config && { postgres: { url: 'postgres://user@host/database' } }),
});

async function accept({ config, ...entity }: Plugin): Promise<void> {
  parseConfig(withSecrets(config));
  const { id } = await admin.create('/plugins', { ...entity, config });
  await admin.delete(`/plugins/${id}`);
}

async function translate(input: string): Promise<Json> {
  const { code, stdout, stderr } = await run(['portal-conf', '--json'], { stdin: input });
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as Json;
}

/** Plugins of declarative configuration; services and routes have to be there, so references are left out. */
const fromDeclarative = (text: string, version: '1.1' | '1.2'): Plugin[] => {
  const root = parse(text, { version }) as { plugins: Plugin[] };
  return root.plugins.map(({ service: _service, route: _route, ...rest }) => rest);
};

const fromResources = (text: string): Plugin[] =>
  [...parseAllDocuments(text, { version: '1.1' })].map((document) => {
    const resource = document.toJS() as Plugin;
    const { plugin: name, config, protocols, disabled } = resource;
    return {
      name,
      config,
      ...(protocols !== undefined && { protocols }),
      ...(disabled === true && { enabled: false }),
    };
  });

describe('the documented examples', () => {
  for (const [title, input, expected] of DOCUMENTED) {
    test(title, async () => {
      const { configurations, output } = await translate(input);
      const { secret, postgres, ...rest } = configurations[0]?.config ?? {};
      assert.deepEqual(rest, expected);
      assert.equal(secret, '{vault://env/session-secret}');
      assert.deepEqual(postgres, { url: '{vault://env/session-database-url}' });
      for (const text of Object.values(output)) assert.doesNotMatch(text, /change-this|super-/);
    });
  }
});

describe('what is printed is accepted', () => {
  for (const input of [...DOCUMENTED.map(([, text]) => text), ...INPUTS]) {
    test(input.slice(0, 70), async () => {
      const { configurations, output } = await translate(input);
      const configs = configurations.map(({ config }) => config);
      const found = [
        fromDeclarative(output.yaml, '1.1'),
        fromDeclarative(output.yaml, '1.2'),
        fromResources(output.kongplugin),
      ];
      for (const plugins of found) {
        assert.deepEqual(
          plugins.map(({ config }) => config),
          configs,
        );
        for (const each of plugins) await accept(each);
      }
    });
  }
});

test('the printed curl does what it says', async (context) => {
  const service = await admin.create('/services', { name: 'shop', url: 'http://127.0.0.1:1' });
  await admin.create('/services/shop/routes', { name: "cart's", paths: ['/cart'] });
  context.after(() => admin.close());
  const inputs = [
    plugin({ route: { name: "cart's" } }, { cookie_name: "it's", storage: 'kong' }),
    plugin({ service: { id: service.id } }, { logout_query_arg: '$(id)`"\'\\', tags: ['a'] }),
    '{"cookie_name":"$4m04$"}',
  ];
  for (const input of inputs) {
    const { configurations, output } = await translate(input);
    const script = output['admin-api'].replaceAll('http://localhost:8001', url);
    const { stdout } = await promisify(execFile)('/bin/sh', ['-c', script]);
    const created = JSON.parse(stdout) as Plugin & { id: string; name: string };
    assert.equal(created.name, NAME, stdout);
    for (const [field, value] of Object.entries(configurations[0]?.config ?? {})) {
      if (field !== 'postgres') assert.deepEqual(created.config[field], value, field);
    }
    await admin.delete(`/plugins/${created.id}`);
  }
});

test('any configuration at all comes out as one that is accepted', async () => {
  const values = fc.oneof(
    fc.constantFrom(null, true, false, 0, -1, 60, 4000, 1e12, '', 'a', 'Lax', 'None', 'off'),
    fc.constantFrom('kong', 'cookie', '__Host-x', '__secure-y', '.xyz.com', 'localhost', '/x'),
    fc.constantFrom([], ['GET'], ['id'], ['ip'], ['POST', 'POST'], {}, 0.25),
    fc.string({ maxLength: 300 }),
  );
  const config = fc.dictionary(fc.constantFrom(...BUNDLED_FIELDS, 'unknown'), values);
  const converted: Record<string, unknown>[] = [];
  fc.assert(
    fc.property(config, (fields) => {
      const found = { origin: 'plugin', where: '', scope: { kind: 'global' }, entity: {} } as const;
      const result = convert({ ...found, config: fields });
      if (result.config === undefined) {
        assert.ok(result.findings.some(({ code }) => code === 'impossible'));
        return;
      }
      parseConfig(withSecrets(result.config));
      converted.push(result.config);
    }),
    runs(400),
  );
  for (const each of converted.slice(0, 150)) await accept({ name: NAME, config: each });
});
