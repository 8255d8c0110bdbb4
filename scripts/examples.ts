import { stringify } from 'yaml';
import { NAME } from '../lib/schema.ts';

/*
 * The documented set-up, once: a route on which people sign in with a key, stay in by session, and are refused by Kong
 * itself otherwise. Written below in the languages of Kong's users.
 */

const NOTE = 'Written by `npm run docs` (scripts/examples.ts).';
const SERVICE = { name: 'my-service', url: 'http://my-service.internal:8080' };
const ROUTE = { name: 'my-route', paths: ['/my'] };
const ANONYMOUS = 'anonymous';
const REFUSE = {
  name: 'request-termination',
  config: { status_code: 403, message: 'Sign in first.' },
};
const AUTH = { name: 'key-auth', config: { anonymous: ANONYMOUS, hide_credentials: true } };
const GUARD = {
  name: NAME,
  config: {
    secret: '{vault://env/session-secret}',
    storage: 'kong',
    postgres: { url: '{vault://env/session-database-url}' },
  },
};

const yaml = (...documents: object[]): string =>
  documents.map((document) => stringify(document)).join('---\n');

const post = (path: string, body: object): string =>
  `post ${path} '${JSON.stringify(body, null, 2)}'\n`;

const adminApi = (): string => {
  return `#!/bin/sh
# The set-up through the Admin API. ${NOTE}
set -eu
admin=\${KONG_ADMIN_URL:-http://localhost:8001}

post() {
  curl --silent --show-error --fail-with-body --header 'Content-Type: application/json' --data "$2" "$admin$1"
  echo
}

${[
  post('/services', SERVICE),
  post(`/services/${SERVICE.name}/routes`, ROUTE),
  post('/consumers', { username: ANONYMOUS }),
  post(`/consumers/${ANONYMOUS}/plugins`, REFUSE),
  post(`/routes/${ROUTE.name}/plugins`, AUTH),
  post(`/routes/${ROUTE.name}/plugins`, GUARD),
].join('\n')}`;
};

const declarative = (): string =>
  `# The set-up as declarative configuration, for DB-less Kong and for decK. ${NOTE}
#
#   deck gateway sync examples/kong.yml
#   KONG_DATABASE=off KONG_DECLARATIVE_CONFIG=/etc/kong/kong.yml kong start

${yaml({
  _format_version: '3.0',
  services: [{ ...SERVICE, routes: [{ ...ROUTE, plugins: [AUTH, GUARD] }] }],
  consumers: [{ username: ANONYMOUS, plugins: [REFUSE] }],
})}`;

const kongPlugin = (resource: string, { name, config }: { name: string; config: object }) => ({
  apiVersion: 'configuration.konghq.com/v1',
  kind: 'KongPlugin',
  metadata: { name: resource },
  plugin: name,
  config,
});

const kubernetes = (): string =>
  `# The set-up for Kong's Ingress Controller. ${NOTE}
#
#   kubectl apply -f examples/kubernetes.yaml

${yaml(
  kongPlugin('sign-in', AUTH),
  kongPlugin('sessions', GUARD),
  kongPlugin('refuse', REFUSE),
  {
    apiVersion: 'configuration.konghq.com/v1',
    kind: 'KongConsumer',
    metadata: {
      name: ANONYMOUS,
      annotations: { 'kubernetes.io/ingress.class': 'kong', 'konghq.com/plugins': 'refuse' },
    },
    username: ANONYMOUS,
  },
  {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'Ingress',
    metadata: { name: ROUTE.name, annotations: { 'konghq.com/plugins': 'sign-in,sessions' } },
    spec: {
      ingressClassName: 'kong',
      rules: [{ http: { paths: ROUTE.paths.map(ingressPath) } }],
    },
  },
)}`;

const ingressPath = (path: string) => ({
  path,
  pathType: 'Prefix',
  backend: { service: { name: SERVICE.name, port: { number: Number(new URL(SERVICE.url).port) } } },
});

type Assignment = readonly [name: string, value: string];

const isShort = ([, value]: Assignment): boolean => !value.includes('\n');

/** `name = value` below one another, as `terraform fmt` would have them: what spans lines is not aligned. */
function assignments(lines: readonly Assignment[], indent: string): string {
  const width = Math.max(...lines.filter(isShort).map(([name]) => name.length));
  return lines
    .map((line) => `${indent}${isShort(line) ? line[0].padEnd(width) : line[0]} = ${line[1]}\n`)
    .join('');
}

/** A value in Terraform's language: that of JSON, but for objects. None of ours has its `${` or `%{`. */
function expression(value: unknown, indent: string): string {
  if (Array.isArray(value)) return `[${value.map((own) => expression(own, indent)).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const inner = `${indent}  `;
  const lines = Object.entries(value).map(([name, own]) => [name, expression(own, inner)] as const);
  return `{\n${assignments(lines, inner)}${indent}}`;
}

const resource = (type: string, name: string, lines: readonly [string, string][]): string =>
  `resource "${type}" "${name}" {\n${assignments(lines, '  ')}}\n`;

const plugin = (
  label: string,
  { name, config }: { name: string; config: object },
  on: [string, string],
) =>
  resource('kong_plugin', label, [
    ['name', JSON.stringify(name)],
    on,
    ['config_json', `jsonencode(${expression(config, '  ')})`],
  ]);

const terraform = (): string => {
  const { protocol, hostname, port } = new URL(SERVICE.url);
  const onRoute: [string, string] = ['route_id', 'kong_route.route.id'];
  return `# The set-up in Terraform. ${NOTE}

terraform {
  required_providers {
    kong = { source = "kevholditch/kong" }
  }
}

variable "kong_admin_url" {
  type    = string
  default = "http://localhost:8001"
}

provider "kong" {
  kong_admin_uri = var.kong_admin_url
}

${[
  resource('kong_service', 'service', [
    ['name', JSON.stringify(SERVICE.name)],
    ['protocol', JSON.stringify(protocol.slice(0, -1))],
    ['host', JSON.stringify(hostname)],
    ['port', port],
  ]),
  resource('kong_route', 'route', [
    ['name', JSON.stringify(ROUTE.name)],
    ['service_id', 'kong_service.service.id'],
    ['protocols', expression(['http', 'https'], '  ')],
    ['paths', expression(ROUTE.paths, '  ')],
  ]),
  resource('kong_consumer', 'anonymous', [['username', JSON.stringify(ANONYMOUS)]]),
  plugin('refuse', REFUSE, ['consumer_id', 'kong_consumer.anonymous.id']),
  plugin('sign_in', AUTH, onRoute),
  plugin('sessions', GUARD, onRoute),
].join('\n')}`;
};

/** By path in the repository. */
export const examples = (): Readonly<Record<string, string>> => ({
  'examples/admin-api.sh': adminApi(),
  'examples/kong.yml': declarative(),
  'examples/kubernetes.yaml': kubernetes(),
  'examples/main.tf': terraform(),
});
