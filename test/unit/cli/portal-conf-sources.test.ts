import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Found } from '../../../lib/cli/bundled/found.ts';
import { findConfigurations } from '../../../lib/cli/bundled/sources.ts';

/** What was found where, without what is empty. */
const summary = (text: string) =>
  findConfigurations(text).map(({ origin, where, scope, config, entity }: Found) => ({
    origin,
    where,
    scope: scope.kind === 'global' ? 'global' : `${scope.kind} ${scope.name}`,
    config: { ...config },
    ...(Object.keys(entity).length > 0 && { entity }),
  }));

const PORTAL = { origin: 'portal', where: 'portal_session_conf', scope: 'global' } as const;
const CONF = { cookie_name: 'a', storage: 'kong' };

test('a portal_session_conf, however it is wrapped', () => {
  const texts = [
    '{ "cookie_name":"a" "storage":"kong" }',
    '{"cookie_name":"a","storage":"kong"}',
    '= {"cookie_name":"a","storage":"kong"}',
    `'{"cookie_name":"a","storage":"kong"}'`,
    'portal_session_conf = {"cookie_name":"a", "storage":"kong",}',
    'portal_session_conf={ "cookie_name":"a"\n "storage":"kong" }\nportal = on\n',
    `portal = on\nportal_session_conf = '{"cookie_name":"a","storage":"kong"}'\nlog_level = info`,
    `export KONG_PORTAL_SESSION_CONF='{"cookie_name":"a","storage":"kong"}'`,
    String.raw`KONG_PORTAL_SESSION_CONF="{\"cookie_name\":\"a\",\"storage\":\"kong\"}"`,
    `    - KONG_PORTAL_SESSION_CONF={"cookie_name":"a","storage":"kong"}`,
    `portal_session_conf: '{"cookie_name":"a","storage":"kong"}'`,
    JSON.stringify(JSON.stringify(CONF)),
    '\u201c{\u201ccookie_name\u201d: \u201ca\u201d \u201cstorage\u201d:\u201ckong\u201d}\u201d',
    'cookie_name: a\nstorage: kong\n',
    '{cookie_name: a, storage: kong}',
  ];
  for (const text of texts) assert.deepEqual(summary(text), [{ ...PORTAL, config: CONF }], text);
  const [manager] = summary('admin_gui_session_conf = {"cookie_name":"a"}');
  assert.equal(manager?.where, 'admin_gui_session_conf');
  assert.deepEqual(summary('{}'), [{ ...PORTAL, config: {} }]);
});

test('a plugin of the Admin API, alone or in a list', () => {
  const plugin = {
    name: 'session',
    id: 'p1',
    route: { id: 'r1' },
    service: null,
    enabled: true,
    config: CONF,
  };
  const expected = { origin: 'plugin', scope: 'route r1', config: CONF } as const;
  const [alone] = summary(JSON.stringify(plugin));
  assert.deepEqual(
    { ...alone, entity: undefined },
    { ...expected, where: 'plugin', entity: undefined },
  );
  const list = { data: [{ name: 'cors', config: {} }, plugin], next: null };
  const [listed, ...more] = summary(JSON.stringify(list));
  assert.deepEqual(
    { ...listed, entity: undefined },
    { ...expected, where: 'data[1]', entity: undefined },
  );
  assert.equal(more.length, 0);
  assert.equal(summary(JSON.stringify([plugin]))[0]?.where, '[0]');
  assert.equal(summary('{"config":{"storage":"kong"}}')[0]?.scope, 'global');
  assert.deepEqual(summary('{"name":"jwt","config":{}}'), []);
});

const DECLARATIVE = `
_format_version: "3.0"
_plugin_configs:
  shared: &shared
    storage: kong
    cookie_name: a
plugins:
  - name: session
    config: { cookie_name: everywhere }
  - name: session
    service: billing
    config: { cookie_name: of-service }
  - name: cors
  - name: session
    consumer: alice
services:
  - name: shop
    url: http://shop
    plugins:
      - { name: session, enabled: false, config: { cookie_samesite: off, cookie_secure: no } }
    routes:
      - name: cart
        plugins:
          - name: session
            _config: shared
            config: { cookie_name: b }
routes:
  - id: 3f2c
    plugins:
      - name: session
        config:
          <<: *shared
          audience: c
consumers:
  - username: bob
    plugins: [{ name: session }]
consumer_groups:
  - name: gold
    plugins: [{ name: session }, { name: rate-limiting }]
`;

test('declarative configuration, with plugins wherever they may stand', () => {
  assert.deepEqual(
    summary(DECLARATIVE).map(({ where, scope, config }) => [where, scope, config]),
    [
      ['plugins[0]', 'global', { cookie_name: 'everywhere' }],
      ['plugins[1]', 'service billing', { cookie_name: 'of-service' }],
      ['plugins[3]', 'unsupported consumer', {}],
      ['services[0].plugins[0]', 'service shop', { cookie_samesite: false, cookie_secure: false }],
      ['services[0].routes[0].plugins[0]', 'route cart', { storage: 'kong', cookie_name: 'b' }],
      ['routes[0].plugins[0]', 'route 3f2c', { storage: 'kong', cookie_name: 'a', audience: 'c' }],
      ['consumers[0].plugins[0]', 'unsupported consumers[0]', {}],
      ['consumer_groups[0].plugins[0]', 'unsupported consumer_groups[0]', {}],
    ],
  );
  assert.deepEqual(summary('_format_version: "3.0"\nservices: []\n'), []);
});

test('resources of Kubernetes', () => {
  const text = `
apiVersion: configuration.konghq.com/v1
kind: KongPlugin
metadata: { name: my-session }
plugin: session
disabled: true
config: { storage: kong }
---
kind: KongPlugin
plugin: cors
---
kind: List
items:
  - { kind: KongClusterPlugin, metadata: { name: all }, plugin: session, config: { audience: x } }
---
`;
  assert.deepEqual(
    summary(text).map(({ where, config }) => [where, config]),
    [
      ['KongPlugin my-session', { storage: 'kong' }],
      ['KongClusterPlugin all', { audience: 'x' }],
    ],
  );
});

test('what is none of these is refused without being repeated', () => {
  const cases: readonly [string, RegExp][] = [
    ['', /^the input is empty$/],
    ['   \n', /^the input is empty$/],
    ['hunter2', /^the input is neither an object nor a list$/],
    ['{"password":"hunter2"}', /^the input has none of the fields of the session plugin$/],
    ['{"secret":"hunter2"', /^not understood: line 1, column 20: expected } before the end$/],
    ['{"secret":"hunter2"} hunter2', /^not understood: line 1, column 22: expected nothing more$/],
    ['secret: "hunter2\nfoo', /^not understood: line \d+, column \d+: [A-Z_]+$/],
    ['a: *hunter2', /^not understood: /],
    [`a: &a [x]\n${bomb()}`, /too many aliases/],
  ];
  for (const [text, message] of cases) {
    assert.throws(() => findConfigurations(text), { name: 'CliError', message }, text);
  }
});

/** Nine levels of nine aliases each. */
function bomb(): string {
  const levels = Array.from({ length: 9 }, (_, index) => {
    const before = index === 0 ? 'a' : `b${index}`;
    return `b${index + 1}: &b${index + 1} [${Array(9).fill(`*${before}`).join(', ')}]`;
  });
  return levels.join('\n');
}
