import { HTTP_PROTOCOLS } from './definitions.ts';
import type { Field, Fields, Schema } from './schema.ts';

const YES: Field = { type: 'boolean', required: true, default: true };
const NO: Field = { type: 'boolean', required: true, default: false };
const LIMIT: Field = { type: 'number', gt: 0 };
const NO_CONSUMER: Fields = [{ consumer: { type: 'foreign', reference: 'consumers', eq: null } }];
const METHODS = ['GET', 'HEAD', 'PUT', 'PATCH', 'POST', 'DELETE', 'OPTIONS', 'TRACE', 'CONNECT'];

function plugin(name: string, fields: Fields, others: Fields = [], checks?: Checks): Schema {
  const protocols: Field = {
    type: 'set',
    required: true,
    default: HTTP_PROTOCOLS,
    elements: { type: 'string', one_of: HTTP_PROTOCOLS },
  };
  const config: Field = { type: 'record', required: true, fields };
  return {
    name,
    fields: [...others, { protocols }, { config }],
    ...(checks && { entity_checks: checks }),
  };
}

type Checks = NonNullable<Schema['entity_checks']>;

/** `redis_host` and the like: deprecated names that Kong still takes and shows. */
function deprecatedRedis(): NonNullable<Field['shorthands']> {
  const names = 'host port password username ssl ssl_verify server_name timeout database'.split(
    ' ',
  );
  return Object.fromEntries(
    names.map((name) => [
      `redis_${name}`,
      { field: {}, expand: (value) => ({ redis: { [name]: value } }), shown: `redis.${name}` },
    ]),
  );
}

const RATE_LIMITING = plugin(
  'rate-limiting',
  [
    ...['second', 'minute', 'hour', 'day', 'month', 'year'].map((period) => ({ [period]: LIMIT })),
    {
      limit_by: {
        type: 'string',
        default: 'consumer',
        one_of: ['consumer', 'credential', 'ip', 'service', 'header', 'path'],
      },
    },
    { header_name: { type: 'string' } },
    { path: { type: 'string', starts_with: '/' } },
    {
      policy: {
        type: 'string',
        default: 'local',
        len_min: 0,
        one_of: ['local', 'cluster', 'redis'],
      },
    },
    { fault_tolerant: YES },
    {
      redis: {
        type: 'record',
        required: true,
        fields: [
          { host: { type: 'string' } },
          { port: { type: 'integer', between: [0, 65535], default: 6379 } },
          { timeout: { type: 'integer', between: [0, 2 ** 31 - 2], default: 2000 } },
          { username: { type: 'string', referenceable: true } },
          { password: { type: 'string', encrypted: true, referenceable: true, len_min: 0 } },
          { database: { type: 'integer', default: 0 } },
          { ssl: { type: 'boolean', required: false, default: false } },
          { ssl_verify: { type: 'boolean', required: false, default: false } },
          { server_name: { type: 'string', required: false } },
        ],
      },
    },
    { hide_client_headers: NO },
    { error_code: { type: 'number', default: 429, gt: 0 } },
    { error_message: { type: 'string', default: 'API rate limit exceeded' } },
    { sync_rate: { type: 'number', required: true, default: -1 } },
  ],
  [],
  [
    {
      at_least_one_of: [
        'config.second',
        'config.minute',
        'config.hour',
        'config.day',
        'config.month',
        'config.year',
      ],
    },
  ],
);

/** The bundled plugins of the documented set-up, with the fields and defaults of Kong 3.9.1. */
export const BUNDLED: readonly Schema[] = [
  plugin(
    'basic-auth',
    [
      { anonymous: { type: 'string' } },
      { hide_credentials: NO },
      { realm: { type: 'string', required: true, default: 'service' } },
    ],
    NO_CONSUMER,
  ),
  plugin(
    'key-auth',
    [
      {
        key_names: {
          type: 'array',
          required: true,
          elements: { type: 'string' },
          default: ['apikey'],
        },
      },
      { hide_credentials: NO },
      { anonymous: { type: 'string' } },
      { key_in_header: YES },
      { key_in_query: YES },
      { key_in_body: NO },
      { run_on_preflight: YES },
      { realm: { type: 'string', required: false } },
    ],
    NO_CONSUMER,
  ),
  plugin(
    'acl',
    [
      { allow: { type: 'array', elements: { type: 'string' } } },
      { deny: { type: 'array', elements: { type: 'string' } } },
      { hide_groups_header: NO },
      { always_use_authenticated_groups: NO },
    ],
    NO_CONSUMER,
    [
      { only_one_of: ['config.allow', 'config.deny'] },
      { at_least_one_of: ['config.allow', 'config.deny'] },
    ],
  ),
  plugin(
    'cors',
    [
      { origins: { type: 'array', elements: { type: 'string' } } },
      { headers: { type: 'array', elements: { type: 'string' } } },
      { exposed_headers: { type: 'array', elements: { type: 'string' } } },
      {
        methods: {
          type: 'array',
          default: METHODS,
          elements: { type: 'string', one_of: METHODS },
        },
      },
      { max_age: { type: 'number' } },
      { credentials: NO },
      { private_network: NO },
      { preflight_continue: NO },
    ],
    NO_CONSUMER,
  ),
  plugin('request-termination', [
    { status_code: { type: 'integer', required: true, default: 503, between: [100, 599] } },
    { message: { type: 'string' } },
    { content_type: { type: 'string' } },
    { body: { type: 'string' } },
    { echo: NO },
    { trigger: { type: 'string' } },
  ]),
  withDeprecatedNames(RATE_LIMITING),
  plugin('file-log', [
    {
      path: {
        type: 'string',
        required: true,
        match: '^[^*&%%\\`]+$',
        err: 'not a valid filename',
      },
    },
    { reopen: NO },
    {
      custom_fields_by_lua: { type: 'map', keys: { type: 'string' }, values: { type: 'string' } },
    },
  ]),
];

function withDeprecatedNames(schema: Schema): Schema {
  const fields = schema.fields.map((entry) =>
    entry['config'] ? { config: { ...entry['config'], shorthands: deprecatedRedis() } } : entry,
  );
  return { ...schema, fields };
}
