import { SessionError } from './errors.ts';
import { FIELDS } from './fields.ts';
import type { Field, FieldTable, RecordField } from './fields.ts';
import { secretProblem } from './secret.ts';
import type { Timeouts } from './session.ts';
import type { Lifetime } from './storage.ts';

/** The configuration of one instance, checked. Durations in milliseconds. */
export interface Config {
  /** Newest first: the first seals, any opens. */
  readonly secrets: readonly [string, ...string[]];
  readonly storage: 'cookie' | 'kong';
  readonly audience: string;
  /** Names what a token is good for: cookie name, storage and database schema. */
  readonly realm: string;
  readonly timeouts: Timeouts;
  readonly lifetime: Lifetime;
  readonly touchInterval: number;
  readonly cacheTtl: number;
  readonly consumerTtl: number;
  readonly cookie: CookieSettings;
  readonly logout: LogoutSettings;
  readonly unauthenticated: 'continue' | 'deny';
  readonly revokeOnReplay: boolean;
  readonly postgres: PostgresSettings | undefined;
}

export interface CookieSettings {
  readonly name: string;
  readonly path: string;
  readonly domain: string | undefined;
  readonly sameSite: 'Strict' | 'Lax' | 'None' | undefined;
  readonly httpOnly: boolean;
  readonly secure: boolean;
}

export interface LogoutSettings {
  readonly methods: ReadonlySet<string>;
  readonly queryArg: string;
  readonly postArg: string;
  readonly readBody: boolean;
}

export interface PostgresSettings {
  readonly url: string | undefined;
  readonly listenUrl: string | undefined;
  readonly host: string | undefined;
  readonly port: number;
  readonly user: string | undefined;
  readonly password: string | undefined;
  readonly database: string | undefined;
  readonly schema: string;
  readonly ssl: boolean;
  readonly sslVerify: boolean;
  readonly sslCa: string | undefined;
  readonly poolSize: number;
  readonly connectTimeout: number;
  readonly statementTimeout: number;
  readonly prepared: boolean;
  readonly migrate: boolean;
}

type Value = string | number | boolean | readonly string[] | Values;
interface Values {
  readonly [name: string]: Value | undefined;
}

/** What a table of fields looks like after parsing: a default or `required` makes a field present. */
type Parsed<T extends FieldTable> = {
  readonly [K in keyof T]: T[K] extends { default: unknown } | { required: true }
    ? Plain<T[K]>
    : Plain<T[K]> | undefined;
};
type Plain<F extends Field> = F extends { type: 'string'; oneOf: readonly (infer O)[] }
  ? O
  : F extends { type: 'string' }
    ? string
    : F extends { type: 'number' | 'integer' }
      ? number
      : F extends { type: 'boolean' }
        ? boolean
        : F extends { type: 'set' }
          ? readonly string[]
          : F extends RecordField
            ? Parsed<F['fields']>
            : never;

const refuse = (field: string, problem: string): never => {
  throw new SessionError('ERR_CONFIG', `config.${field}: ${problem}`);
};

/**
 * Checks the configuration that Kong hands to an instance (StartInstance's `Config`). Kong has applied the same
 * table's schema, but not to values that came out of a vault, so everything is checked again. Keys that are not
 * ours (`__seq__`, `route_id`, `$refs` …) are Kong's bookkeeping and ignored.
 *
 * @throws SessionError ERR_CONFIG naming the field
 */
export function parseConfig(raw: unknown): Config {
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) {
    throw new SessionError('ERR_CONFIG', 'config: expected an object');
  }
  return toConfig(parseTable(FIELDS, raw as Record<string, unknown>, '') as Parsed<typeof FIELDS>);
}

function parseTable(table: FieldTable, raw: Record<string, unknown>, prefix: string): Values {
  const entries = Object.entries(table).map(([name, field]) => [
    name,
    parseField(field, Object.hasOwn(raw, name) ? raw[name] : undefined, prefix + name),
  ]);
  return Object.fromEntries(entries) as Values;
}

function parseField(field: Field, value: unknown, name: string): Value | undefined {
  if (value === undefined || value === null) {
    if (field.required) refuse(name, 'required field missing');
    return 'default' in field ? field.default : undefined;
  }
  switch (field.type) {
    case 'string':
      return parseString(field, value, name);
    case 'number':
    case 'integer':
      return parseNumber(field, value, name);
    case 'boolean':
      return typeof value === 'boolean' ? value : refuse(name, 'expected a boolean');
    case 'set':
      return parseSet(field, value, name);
    case 'record':
      if (typeof value !== 'object' || Array.isArray(value))
        return refuse(name, 'expected a record');
      return parseTable(field.fields, value as Record<string, unknown>, `${name}.`);
  }
}

function parseString(field: Extract<Field, { type: 'string' }>, value: unknown, name: string) {
  if (typeof value !== 'string') return refuse(name, 'expected a string');
  if (value === '' && field.referenceable) {
    // Kong resolves a vault reference that leads nowhere to the empty string (kong-protocol.md E.2).
    return refuse(name, 'is empty: does the vault reference lead to a value?');
  }
  if (field.oneOf && !field.oneOf.includes(value)) {
    refuse(name, `expected one of: ${field.oneOf.join(', ')}`);
  }
  const { minLength = 1, maxLength = Infinity, pattern } = field;
  if (value.length < minLength) refuse(name, `must have at least ${minLength} characters`);
  if (value.length > maxLength) refuse(name, `must have at most ${maxLength} characters`);
  if (pattern && !pattern.js.test(value)) refuse(name, pattern.err);
  return value;
}

function parseNumber(
  field: Extract<Field, { type: 'number' | 'integer' }>,
  value: unknown,
  name: string,
) {
  if (typeof value !== 'number') return refuse(name, 'expected a number');
  const [low, high] = field.between;
  // Written so that NaN is refused too.
  if (!(value >= low && value <= high)) refuse(name, `value should be between ${low} and ${high}`);
  if (field.type === 'integer' && !Number.isInteger(value)) refuse(name, 'expected an integer');
  return value;
}

function parseSet(field: Extract<Field, { type: 'set' }>, value: unknown, name: string) {
  if (!Array.isArray(value)) return refuse(name, 'expected a set');
  return value.map((element: unknown) =>
    typeof element === 'string' && field.oneOf.includes(element)
      ? element
      : refuse(name, `expected one of: ${field.oneOf.join(', ')}`),
  );
}

const ms = (seconds: number): number => Math.round(seconds * 1000);

function toConfig(values: Parsed<typeof FIELDS>): Config {
  const storage = values.storage === 'cookie' ? 'cookie' : 'kong';
  const postgres = values.postgres && toPostgres(values.postgres);
  if (storage === 'kong' && postgres === undefined) {
    refuse('postgres', `required with storage ${values.storage}: give a url, or host and user`);
  }
  const problem = secretProblem(values.secret);
  if (problem !== undefined) refuse('secret', problem);
  const timeouts = {
    idling: ms(values.idling_timeout),
    rolling: ms(values.rolling_timeout),
    absolute: ms(values.absolute_timeout),
    stale: ms(values.stale_ttl),
    // The last quarter, as the bundled plugin does (lua-resty-session renews after 3/4 of rolling_timeout).
    renew: ms(values.rolling_timeout / 4),
  };
  return {
    secrets: [values.secret],
    storage,
    audience: values.audience,
    realm: [values.cookie_name, storage, postgres?.schema ?? ''].join(' '),
    timeouts,
    lifetime: { rolling: timeouts.rolling, absolute: timeouts.absolute },
    touchInterval: ms(values.touch_interval ?? defaultTouchInterval(values.idling_timeout)),
    cacheTtl: ms(Math.min(values.cache_ttl, values.stale_ttl)),
    consumerTtl: ms(values.consumer_ttl),
    cookie: toCookie(values),
    logout: {
      methods: new Set(values.logout_methods),
      queryArg: values.logout_query_arg,
      postArg: values.logout_post_arg,
      readBody: values.read_body_for_logout,
    },
    unauthenticated: values.unauthenticated,
    revokeOnReplay: values.revoke_on_replay,
    postgres,
  };
}

/** Without an idle limit the last use is only information: once a minute will do. */
const defaultTouchInterval = (idling: number): number =>
  idling > 0 ? Math.min(60, idling / 4) : 60;

function toCookie(values: Parsed<typeof FIELDS>): CookieSettings {
  const name = values.cookie_name;
  const domain = cookieDomain(values.cookie_domain);
  const secure = values.cookie_secure || values.cookie_same_site === 'None';
  const isHost = /^__host-/i.test(name);
  if ((isHost || /^__secure-/i.test(name)) && !secure) {
    refuse('cookie_secure', `must be true for a cookie called ${name}`);
  }
  if (isHost && domain !== undefined) refuse('cookie_domain', `must be unset for ${name}`);
  if (isHost && values.cookie_path !== '/') refuse('cookie_path', `must be / for ${name}`);
  return {
    name,
    path: values.cookie_path,
    domain,
    sameSite: values.cookie_same_site === 'Default' ? undefined : values.cookie_same_site,
    httpOnly: values.cookie_http_only,
    secure,
  };
}

/** Browsers ignore a cookie with `Domain=localhost`; the bundled plugin leaves the attribute out too. */
const cookieDomain = (domain: string | undefined): string | undefined =>
  domain === 'localhost' ? undefined : domain;

function toPostgres(values: Parsed<(typeof FIELDS)['postgres']['fields']>): PostgresSettings {
  if (values.url === undefined && values.host === undefined) {
    refuse('postgres', 'at least one of these fields must be non-empty: url, host');
  }
  return {
    url: values.url,
    listenUrl: values.listen_url,
    host: values.host,
    port: values.port,
    user: values.user,
    password: values.password,
    database: values.database,
    schema: values.schema,
    ssl: values.ssl,
    sslVerify: values.ssl_verify,
    sslCa: values.ssl_ca,
    poolSize: values.pool_size,
    connectTimeout: ms(values.connect_timeout),
    statementTimeout: ms(values.statement_timeout),
    prepared: values.prepared,
    migrate: values.migrate,
  };
}
