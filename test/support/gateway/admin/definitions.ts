import { createHash } from 'node:crypto';
import type { Json, Kind } from '../entities.ts';
import type { Field, Schema, Table } from './schema.ts';

/**
 * A kind of entity: where the Admin API has it, by which field it is found apart from its id, what must be
 * unique, and its fields (kong/db/schema/entities/*.lua, kong/plugins/*\/daos.lua of 3.9.1).
 */
export interface Definition {
  readonly kind: Kind;
  readonly path: string;
  /** The path below a consumer, where it differs. */
  readonly nestedPath?: string;
  readonly endpointKey?: string;
  /** Finds an entity below its parent only (`/consumers/alice/acls/staff`). */
  readonly nestedKey?: string;
  /** Fields that are unique together. */
  readonly cacheKey?: readonly string[];
  readonly schema: Schema;
  /** Changes a valid entity before it is stored; `input` is what the client gave. */
  transform?(entity: Table, input: Table): Table;
}

const ID: Field = { type: 'string', uuid: true, auto: true };
const TIMESTAMP: Field = { type: 'integer', timestamp: true, auto: true };
const TAGS: Field = { type: 'set', elements: { type: 'string', required: true } };
const NAME: Field = { type: 'string', unique: true };
const PATH: Field = {
  type: 'string',
  starts_with: '/',
  match_none: [{ pattern: '//', err: 'must not have empty segments' }],
};
const TIMEOUT: Field = { type: 'integer', default: 60000, between: [1, 2 ** 31 - 2] };
const PROTOCOL: Field = {
  type: 'string',
  one_of: ['grpc', 'grpcs', 'http', 'https', 'tcp', 'tls', 'tls_passthrough', 'udp'],
};
const YES: Field = { type: 'boolean', required: true, default: true };
const NO: Field = { type: 'boolean', required: true, default: false };
const CONSUMER: Field = {
  type: 'foreign',
  reference: 'consumers',
  required: true,
  on_delete: 'cascade',
};

/** The protocols that every plugin allows unless its schema says otherwise (typedefs.protocols_http). */
export const HTTP_PROTOCOLS = ['grpc', 'grpcs', 'http', 'https'];

const SERVICES: Definition = {
  kind: 'services',
  path: 'services',
  endpointKey: 'name',
  schema: {
    shorthands: { url: { field: { type: 'string' }, expand: partsOfUrl } },
    fields: [
      { id: ID },
      { created_at: TIMESTAMP },
      { updated_at: TIMESTAMP },
      { name: NAME },
      { retries: { type: 'integer', default: 5, between: [0, 32767] } },
      { protocol: { ...PROTOCOL, required: true, default: 'http' } },
      { host: { type: 'string', required: true } },
      { port: { type: 'integer', between: [0, 65535], required: true, default: 80 } },
      { path: PATH },
      { connect_timeout: TIMEOUT },
      { write_timeout: TIMEOUT },
      { read_timeout: TIMEOUT },
      { tags: TAGS },
      { client_certificate: { type: 'foreign', reference: 'certificates' } },
      { tls_verify: { type: 'boolean' } },
      { tls_verify_depth: { type: 'integer', between: [0, 64] } },
      { ca_certificates: { type: 'array', elements: { type: 'string', uuid: true } } },
      { enabled: YES },
    ],
  },
};

const ROUTES: Definition = {
  kind: 'routes',
  path: 'routes',
  endpointKey: 'name',
  schema: {
    fields: [
      { id: ID },
      { created_at: TIMESTAMP },
      { updated_at: TIMESTAMP },
      { name: NAME },
      {
        protocols: {
          type: 'set',
          len_min: 1,
          required: true,
          elements: PROTOCOL,
          default: ['http', 'https'],
        },
      },
      {
        https_redirect_status_code: {
          type: 'integer',
          one_of: [426, 301, 302, 307, 308],
          default: 426,
          required: true,
        },
      },
      { strip_path: YES },
      { preserve_host: NO },
      { request_buffering: YES },
      { response_buffering: YES },
      { tags: TAGS },
      { service: { type: 'foreign', reference: 'services' } },
      { snis: { type: 'set', elements: { type: 'string' } } },
      { sources: { type: 'set', elements: { type: 'record' }, eq: null } },
      { destinations: { type: 'set', elements: { type: 'record' }, eq: null } },
      { methods: { type: 'set', elements: { type: 'string', match: '^%u+$' } } },
      { hosts: { type: 'array', elements: { type: 'string' } } },
      {
        paths: {
          type: 'array',
          elements: {
            type: 'string',
            match_none: [{ pattern: '//', err: 'must not have empty segments' }],
            match_any: {
              patterns: ['^/', '^~/'],
              err: 'should start with: / (fixed path) or ~/ (regex path)',
            },
          },
        },
      },
      {
        headers: {
          type: 'map',
          keys: { type: 'string' },
          values: { type: 'array', elements: { type: 'string' } },
        },
      },
      { regex_priority: { type: 'integer', default: 0 } },
      { path_handling: { type: 'string', default: 'v0', one_of: ['v0', 'v1'] } },
    ],
    entity_checks: [
      {
        conditional_at_least_one_of: {
          if_field: 'protocols',
          if_match: { contains: 'https' },
          then_at_least_one_of: ['methods', 'hosts', 'headers', 'paths', 'snis'],
          then_err: "must set one of %s when 'protocols' is 'https'",
          else_match: { contains: 'http' },
          else_then_at_least_one_of: ['methods', 'hosts', 'headers', 'paths'],
          else_then_err: "must set one of %s when 'protocols' is 'http'",
        },
      },
    ],
  },
};

const CONSUMERS: Definition = {
  kind: 'consumers',
  path: 'consumers',
  endpointKey: 'username',
  schema: {
    fields: [
      { id: ID },
      { created_at: TIMESTAMP },
      { updated_at: TIMESTAMP },
      { username: NAME },
      { custom_id: NAME },
      { tags: TAGS },
    ],
    entity_checks: [{ at_least_one_of: ['custom_id', 'username'] }],
  },
};

const KEY_AUTHS: Definition = {
  kind: 'keyauth_credentials',
  path: 'key-auths',
  nestedPath: 'key-auth',
  endpointKey: 'key',
  schema: {
    fields: [
      { id: ID },
      { created_at: TIMESTAMP },
      { consumer: CONSUMER },
      { key: { ...NAME, auto: true } },
      // Keys that expire are not needed here; refused, so that nobody relies on it.
      { ttl: { type: 'integer', eq: null } },
      { tags: TAGS },
    ],
  },
};

const BASIC_AUTHS: Definition = {
  kind: 'basicauth_credentials',
  path: 'basic-auths',
  nestedPath: 'basic-auth',
  endpointKey: 'username',
  schema: {
    fields: [
      { id: ID },
      { created_at: TIMESTAMP },
      { consumer: CONSUMER },
      { username: { ...NAME, required: true } },
      { password: { type: 'string', required: true } },
      { tags: TAGS },
    ],
  },
  transform: (entity, input) =>
    input['password'] === undefined ? entity : { ...entity, password: hashedPassword(entity) },
};

const ACLS: Definition = {
  kind: 'acls',
  path: 'acls',
  nestedKey: 'group',
  cacheKey: ['consumer', 'group'],
  schema: {
    fields: [
      { id: ID },
      { created_at: TIMESTAMP },
      { consumer: CONSUMER },
      { group: { type: 'string', required: true } },
      { tags: TAGS },
    ],
  },
};

const PLUGINS: Definition = {
  kind: 'plugins',
  path: 'plugins',
  endpointKey: 'instance_name',
  cacheKey: ['consumer', 'name', 'route', 'service'],
  schema: {
    fields: [
      { id: ID },
      { name: { type: 'string', required: true } },
      { instance_name: NAME },
      { created_at: TIMESTAMP },
      { updated_at: TIMESTAMP },
      { route: { type: 'foreign', reference: 'routes', on_delete: 'cascade' } },
      { service: { type: 'foreign', reference: 'services', on_delete: 'cascade' } },
      { consumer: { type: 'foreign', reference: 'consumers', on_delete: 'cascade' } },
      { config: { type: 'record', required: true } },
      {
        protocols: { type: 'set', required: true, default: HTTP_PROTOCOLS, elements: PROTOCOL },
      },
      { enabled: YES },
      { tags: TAGS },
    ],
  },
};

export const DEFINITIONS: readonly Definition[] = [
  SERVICES,
  ROUTES,
  CONSUMERS,
  KEY_AUTHS,
  BASIC_AUTHS,
  ACLS,
  PLUGINS,
];

/** Looks a kind up that is known to exist, as the reference of a foreign field of the tables above. */
export function definitionOf(kind: string): Definition | undefined {
  return DEFINITIONS.find((definition) => definition.kind === kind);
}

/** As `socket.url` splits it: a text without a scheme is all path. */
function partsOfUrl(url: Json): Table {
  const parts = /^(?:([a-z][\w+.-]*):)?(?:\/\/([^/?#:]*)(?::(\d+))?)?([^?#]*)/i.exec(
    typeof url === 'string' ? url : '',
  );
  const [, scheme, host, port, path] = parts ?? [];
  const protocol = scheme ?? (port === '443' ? 'https' : 'http');
  return {
    protocol,
    host: host || null,
    port: port === undefined ? (protocol === 'https' ? 443 : 80) : Number(port),
    path: path || null,
  };
}

/** SHA-1 of the password and the consumer's id (kong/plugins/basic-auth/crypto.lua). */
function hashedPassword(credential: Table): string {
  const { password, consumer } = credential as { password: string; consumer: { id: string } };
  return createHash('sha1')
    .update(password + consumer.id)
    .digest('hex');
}
