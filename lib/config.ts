import { checkCookie, isChunkName } from './cookie.ts';
import { SessionError } from './errors.ts';
import type { Place } from './events.ts';
import { FIELDS } from './fields.ts';
import type { Told } from './fields.ts';
import { ms, parseTable, refuse } from './parse.ts';
import type { Parsed } from './parse.ts';
import { placeOf } from './place.ts';
import { toPostgres } from './postgres-settings.ts';
import type { PostgresSettings } from './postgres-settings.ts';
import { secretProblem } from './secret.ts';
import type { Timeouts } from './session.ts';
import type { Lifetime } from './storage.ts';

/** The configuration of one instance, checked. Durations in milliseconds. */
export interface Config {
  /** The first seals, any opens. */
  readonly secrets: readonly string[];
  readonly storage: 'cookie' | 'kong';
  readonly audience: string;
  /** Names what a token is good for: cookie name (a persistent one's and its session's), storage and schema. */
  readonly realm: string;
  readonly timeouts: Timeouts;
  readonly lifetime: Lifetime;
  readonly touchInterval: number;
  /** Milliseconds since the last use in the table after which a session is idle for certain; 0 = never. */
  readonly idleFor: number;
  readonly cacheTtl: number;
  readonly consumerTtl: number;
  readonly cookie: CookieSettings;
  readonly remember: RememberSettings | undefined;
  readonly logout: LogoutSettings;
  readonly unauthenticated: 'continue' | 'deny';
  readonly revokeOnReplay: boolean;
  readonly requestHeaders: readonly Told[];
  readonly responseHeaders: readonly Told[];
  readonly subject: 'unstored' | 'plain' | 'hashed';
  readonly bind: readonly Binding[];
  readonly limit: SessionLimit | undefined;
  /** End of the path at which users find their sessions. */
  readonly selfServicePath: string | undefined;
  readonly idleExempt: { readonly paths: readonly string[]; readonly header: string | undefined };
  readonly postgres: PostgresSettings | undefined;
  readonly kongDatabaseUrl: string | undefined;
  /** Old names of fields in use, for one line in the log. */
  readonly oldNames: readonly string[];
  readonly place: Place;
}

export type Binding = 'ip' | 'scheme' | 'user-agent';

export interface SessionLimit {
  readonly sessions: number;
  readonly policy: 'evict-oldest' | 'refuse';
  /** As Config has it: who is idle takes nobody's place. */
  readonly idleFor: number;
}

export interface CookieSettings {
  readonly name: string;
  readonly path: string;
  readonly domain: string | undefined;
  readonly sameSite: 'Strict' | 'Lax' | 'None' | undefined;
  readonly httpOnly: boolean;
  /** `auto`: by the scheme of the request. */
  readonly secure: boolean | 'auto';
  readonly partitioned: boolean;
  readonly priority: 'Low' | 'Medium' | 'High' | undefined;
  /** Seconds; absent for a cookie that ends with the browser. */
  readonly maxAge: number | undefined;
}

interface RememberSettings {
  readonly cookie: CookieSettings;
  readonly realm: string;
  readonly timeouts: Timeouts;
  readonly lifetime: Lifetime;
}

export interface LogoutSettings {
  readonly methods: ReadonlySet<string>;
  readonly queryArg: string;
  readonly postArg: string;
  readonly readBody: boolean;
  readonly redirect: string | undefined;
  readonly clearSiteData: readonly string[];
}

type Values = Parsed<typeof FIELDS>;

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
  const values = parseTable(FIELDS, raw as Record<string, unknown>);
  const config = toConfig(withOldNames(values), oldNamesIn(values));
  checkCookie(config.cookie);
  if (config.remember) checkCookie(config.remember.cookie);
  return { ...config, place: placeOf(raw) };
}

const OLD_NAMES = [
  'cookie_lifetime',
  'cookie_idletime',
  'cookie_discard',
  'cookie_samesite',
  'cookie_httponly',
  'cookie_persistent',
] as const;

const oldNamesIn = (values: Values): string[] =>
  OLD_NAMES.filter((name) => values[name] !== undefined);

/** An old name wins: Kong fills in the new one's default, so nobody can tell whether it was given. */
function withOldNames(values: Values): Values {
  const sameSite = values.cookie_samesite;
  return {
    ...values,
    rolling_timeout: values.cookie_lifetime ?? values.rolling_timeout,
    idling_timeout: values.cookie_idletime ?? values.idling_timeout,
    stale_ttl: values.cookie_discard ?? values.stale_ttl,
    cookie_same_site: sameSite === 'off' ? 'Lax' : (sameSite ?? values.cookie_same_site),
    cookie_http_only: values.cookie_httponly ?? values.cookie_http_only,
    remember: values.cookie_persistent ?? values.remember,
  };
}

function toConfig(values: Values, oldNames: readonly string[]): Omit<Config, 'place'> {
  const storage = values.storage === 'cookie' ? 'cookie' : 'kong';
  const postgres = values.postgres && toPostgres(values.postgres);
  if (storage === 'kong' && postgres === undefined) {
    refuse('postgres', `required with storage ${values.storage}: give a url, or host and user`);
  }
  const cookie = toCookie(values, 'cookie_name');
  // Kong's schema looks at both names, whether there is a persistent cookie or not.
  const lasting = toCookie(values, 'remember_cookie_name');
  if (lasting.name === cookie.name) refuse('remember_cookie_name', 'must differ from cookie_name');
  const realm = (name: string) => [name, storage, postgres?.schema ?? ''].join(' ');
  const timeouts = toTimeouts(values);
  const touchInterval = toTouchInterval(values);
  const idleFor = timeouts.idling > 0 ? timeouts.idling + touchInterval + WRITING : 0;
  return {
    secrets: toSecrets(values),
    storage,
    audience: values.audience,
    realm: realm(cookie.name),
    timeouts,
    lifetime: lifetimeOf(timeouts),
    touchInterval,
    idleFor,
    cacheTtl: ms(Math.min(values.cache_ttl, values.stale_ttl)),
    consumerTtl: ms(values.consumer_ttl),
    cookie,
    remember: values.remember ? toRemember(values, timeouts, realm, [lasting, cookie]) : undefined,
    logout: toLogout(values),
    unauthenticated: values.unauthenticated,
    revokeOnReplay: values.revoke_on_replay,
    requestHeaders: values.request_headers ?? [],
    responseHeaders: values.response_headers ?? [],
    subject: values.store_metadata ? (values.hash_subject ? 'hashed' : 'plain') : 'unstored',
    bind: values.bind ?? [],
    limit:
      values.max_sessions > 0
        ? { sessions: values.max_sessions, policy: values.max_sessions_policy, idleFor }
        : undefined,
    selfServicePath: values.self_service ? values.self_service_path : undefined,
    idleExempt: { paths: values.idle_exempt_paths ?? [], header: values.idle_exempt_header },
    postgres,
    kongDatabaseUrl: values.kong_database_url,
    oldNames,
  };
}

function toSecrets(values: Values): string[] {
  const fallbacks = values.secret_fallbacks ?? [];
  checkSecret(values.secret, 'secret');
  fallbacks.forEach((secret, index) => checkSecret(secret, `secret_fallbacks[${index + 1}]`));
  return [values.secret, ...fallbacks];
}

function checkSecret(secret: string, field: string): void {
  const problem = secretProblem(secret);
  if (problem !== undefined) refuse(field, problem);
}

function toTimeouts(values: Values): Timeouts {
  const rolling = ms(values.rolling_timeout);
  return {
    idling: ms(values.idling_timeout),
    rolling,
    absolute: ms(values.absolute_timeout),
    stale: ms(values.stale_ttl),
    // By default the last quarter, as in lua-resty-session. More than half would renew all the time.
    renew:
      values.cookie_renew === undefined
        ? rolling / 4
        : Math.min(ms(values.cookie_renew), rolling / 2),
  };
}

const lifetimeOf = ({ rolling, absolute }: Timeouts): Lifetime => ({ rolling, absolute });

/** What a use may take to be written once the touch interval has passed (touches.ts), in milliseconds. */
const WRITING = 2000;

/**
 * Milliseconds. Who uses a session all the time must not look idle between two writes of it: four fit into the idle
 * time. Without one the last use is only information, and once a minute will do.
 */
function toTouchInterval({ touch_interval = 60, idling_timeout: idling }: Values): number {
  return ms(idling > 0 ? Math.min(touch_interval, idling / 4) : touch_interval);
}

function toCookie(
  values: Values,
  nameField: 'cookie_name' | 'remember_cookie_name',
): CookieSettings {
  const name = (values.cookie_prefix ?? '') + values[nameField];
  const mustBeSecure =
    checkPrefix(values, name) || values.cookie_partitioned || values.cookie_same_site === 'None';
  return {
    name,
    path: values.cookie_path,
    domain: cookieDomain(values.cookie_domain),
    sameSite: values.cookie_same_site === 'Default' ? undefined : values.cookie_same_site,
    httpOnly: values.cookie_http_only,
    secure: mustBeSecure || (values.cookie_secure_auto ? 'auto' : values.cookie_secure),
    partitioned: values.cookie_partitioned,
    priority: values.cookie_priority,
    maxAge: undefined,
  };
}

/** Whether browsers hold the name to a promise, which they do in any case of its letters (RFC 6265bis 4.1.3). */
function checkPrefix(values: Values, name: string): boolean {
  const isHost = /^__host-/i.test(name);
  const isHttp = /^__(host-)?http-/i.test(name);
  const isPrefixed = isHost || isHttp || /^__secure-/i.test(name);
  if (isPrefixed && !values.cookie_secure) {
    refuse('cookie_secure', `must be true for a cookie called ${name}`);
  }
  if (isHttp && !values.cookie_http_only) refuse('cookie_http_only', `must be true for ${name}`);
  // As Kong's schema does, a domain that is left out (cookieDomain) too.
  if (isHost && values.cookie_domain !== undefined) {
    refuse('cookie_domain', `must be unset for ${name}`);
  }
  if (isHost && values.cookie_path !== '/') refuse('cookie_path', `must be / for ${name}`);
  return isPrefixed;
}

/** Browsers ignore a cookie with `Domain=localhost`; the bundled plugin leaves the attribute out too. */
const cookieDomain = (domain: string | undefined): string | undefined =>
  domain === 'localhost' ? undefined : domain;

/** Browsers keep no cookie for longer: 400 days (RFC 6265bis 5.5). */
const LONGEST_COOKIE = 400 * 86_400;

function toRemember(
  values: Values,
  main: Timeouts,
  realm: (name: string) => string,
  [cookie, session]: readonly [CookieSettings, CookieSettings],
): RememberSettings {
  const names = [cookie.name, session.name] as const;
  if (
    values.storage === 'cookie' &&
    (isChunkName(...names) || isChunkName(session.name, cookie.name))
  ) {
    const reason = 'a session that is too large for one cookie goes on in name2 to name9';
    refuse(
      'remember_cookie_name',
      `must not be cookie_name and a digit, nor the reverse: ${reason}`,
    );
  }
  const rolling = values.remember_rolling_timeout;
  const timeouts = {
    idling: 0,
    rolling: ms(rolling),
    absolute: ms(values.remember_absolute_timeout),
    stale: main.stale,
    renew: 0,
  };
  // Max-Age has no fractions, and 0 would delete the cookie.
  const maxAge = Math.ceil(rolling === 0 ? LONGEST_COOKIE : Math.min(rolling, LONGEST_COOKIE));
  return {
    cookie: { ...cookie, maxAge },
    // Routes that share the name of the persistent cookie and no more, as they do by default, have nothing in common.
    realm: realm(`${cookie.name} ${session.name}`),
    timeouts,
    lifetime: lifetimeOf(timeouts),
  };
}

const toLogout = (values: Values): LogoutSettings => ({
  methods: new Set(values.logout_methods),
  queryArg: values.logout_query_arg,
  postArg: values.logout_post_arg,
  readBody: values.read_body_for_logout,
  redirect: values.logout_redirect_uri,
  clearSiteData: values.logout_clear_site_data ?? [],
});
