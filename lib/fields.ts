import type { FieldTable } from './field.ts';
import { DOMAIN, PATH, POSTGRES_URL, REDIRECT, SECRET, TOKEN, WORD } from './patterns.ts';
import { POSTGRES_CHECKS, POSTGRES_FIELDS } from './postgres-fields.ts';

/**
 * The one table of configuration fields. Kong's schema (schema.ts), the parser (config.ts) and the README's
 * table come from it. Names and defaults are those of Kong's bundled `session` plugin where it has the field.
 */

/** 100 years: no timeout needs more, and every moment it leads to can be written as a date. */
const LONGEST = 3_153_600_000;
const seconds = (value: number, description: string) =>
  ({ type: 'number', default: value, between: [0, LONGEST], description }) as const;

const old = (name: string) =>
  ({
    type: 'number',
    between: [0, LONGEST],
    description: `Old name of \`${name}\`, which it overrides.`,
  }) as const;

/** What `request_headers` and `response_headers` can tell; `age` is ours, the others are the bundled plugin's. */
export const TOLD = [
  'id',
  'audience',
  'subject',
  'timeout',
  'idling-timeout',
  'rolling-timeout',
  'absolute-timeout',
  'age',
] as const;
export type Told = (typeof TOLD)[number];

/** What begins a name that browsers hold to its promise (RFC 6265bis 4.1.3; the last two: draft-ietf-httpbis-layered-cookies). */
export const PREFIXES = ['__Host-', '__Secure-', '__Http-', '__Host-Http-'] as const;

export const FIELDS = {
  secret: {
    type: 'string',
    required: true,
    minLength: 32,
    pattern: SECRET,
    referenceable: true,
    description:
      'Root of all keys, the same on every node: at least 32 characters, 8 different (`openssl rand -base64 32`).',
  },
  secret_fallbacks: {
    type: 'array',
    elements: { type: 'string', minLength: 32, pattern: SECRET, referenceable: true },
    description:
      'Secrets that still open cookies but seal none: the new one before a rotation, the old one after it.',
  },
  storage: {
    type: 'string',
    default: 'cookie',
    oneOf: ['cookie', 'kong', 'postgres'],
    description:
      'Where sessions live: sealed in the `cookie`, or a row in Postgres (`kong`; `postgres` means the same).',
  },
  audience: {
    type: 'string',
    default: 'default',
    maxLength: 128,
    pattern: WORD,
    description: 'Name of the application: a session is good for its own audience only.',
  },
  idling_timeout: seconds(900, 'Seconds without a request after which a session ends; 0 = never.'),
  rolling_timeout: seconds(
    3600,
    'Seconds after which a cookie ends unless it was renewed; 0 = never.',
  ),
  absolute_timeout: seconds(
    86_400,
    'Seconds after the sign-in at which a session ends whatever happens; 0 = never.',
  ),
  stale_ttl: {
    type: 'number',
    default: 10,
    between: [0, 3600],
    description:
      'Seconds that the cookie before a renewal stays good once the new one has been presented.',
  },
  cookie_name: {
    type: 'string',
    default: 'session',
    maxLength: 128,
    pattern: TOKEN,
    description:
      'Name of the cookie. What the prefixes of `cookie_prefix` promise is enforced in a name, too.',
  },
  cookie_prefix: {
    type: 'string',
    oneOf: PREFIXES,
    description: 'Put before the names of the cookies; browsers then insist on what it promises.',
  },
  cookie_path: {
    type: 'string',
    default: '/',
    maxLength: 1024,
    pattern: PATH,
    description: 'Path attribute of the cookie.',
  },
  cookie_domain: {
    type: 'string',
    maxLength: 253,
    pattern: DOMAIN,
    description: 'Domain attribute of the cookie; unset = only the host that set it.',
  },
  cookie_same_site: {
    type: 'string',
    default: 'Strict',
    oneOf: ['Strict', 'Lax', 'None', 'Default'],
    description:
      'SameSite attribute; `None` forces Secure, `Default` leaves the choice to the browser.',
  },
  cookie_http_only: {
    type: 'boolean',
    default: true,
    description: 'Keep the cookie from scripts (HttpOnly attribute).',
  },
  cookie_secure: {
    type: 'boolean',
    default: true,
    description: 'Have the browser send the cookie over HTTPS only (Secure attribute).',
  },
  cookie_secure_auto: {
    type: 'boolean',
    default: false,
    description:
      'Decide Secure by the scheme of the request, that of a trusted proxy included, not by `cookie_secure`.',
  },
  cookie_partitioned: {
    type: 'boolean',
    default: false,
    description: 'Give each embedding site a cookie of its own (Partitioned attribute, CHIPS).',
  },
  cookie_priority: {
    type: 'string',
    oneOf: ['Low', 'Medium', 'High'],
    description: 'Which cookies a full browser drops last (Priority attribute).',
  },
  remember: {
    type: 'boolean',
    default: false,
    description:
      'Set a second, persistent cookie that opens a new session when the first has ended.',
  },
  remember_cookie_name: {
    type: 'string',
    default: 'remember',
    maxLength: 128,
    pattern: TOKEN,
    description: 'Name of the persistent cookie; where `cookie_name` differs, so should this one.',
  },
  remember_rolling_timeout: seconds(
    604_800,
    'Seconds after which the persistent cookie ends unless it was used; 0 = never.',
  ),
  remember_absolute_timeout: seconds(
    2_592_000,
    'Seconds after the sign-in at which the persistent cookie ends; 0 = never.',
  ),
  request_headers: {
    type: 'set',
    oneOf: TOLD,
    description: 'What the upstream is told in `Session-…` headers.',
  },
  response_headers: {
    type: 'set',
    oneOf: TOLD,
    description: 'What the client is told in `Session-…` headers.',
  },
  store_metadata: {
    type: 'boolean',
    default: false,
    description:
      'Store the subject of a session (user name, custom id or id) so that it can be found by it.',
  },
  hash_subject: {
    type: 'boolean',
    default: false,
    description: 'Store the first 16 octets of the SHA-256 of the subject in its place.',
  },
  bind: {
    type: 'set',
    oneOf: ['ip', 'scheme', 'user-agent'],
    description: 'What a request must have in common with the sign-in for its session to count.',
  },
  max_sessions: {
    type: 'integer',
    default: 0,
    between: [0, 10_000],
    description: 'Sessions a consumer may have at a time (storage `kong`); 0 = any number.',
  },
  max_sessions_policy: {
    type: 'string',
    default: 'evict-oldest',
    oneOf: ['evict-oldest', 'refuse'],
    description:
      'At `max_sessions`: end the one that was used least lately, or begin no further one.',
  },
  self_service: {
    type: 'boolean',
    default: false,
    description: 'Let users list and end their own sessions under `self_service_path`.',
  },
  self_service_path: {
    type: 'string',
    default: '/_sessions',
    maxLength: 256,
    pattern: PATH,
    description: 'End of the path, below the route, at which users find their sessions.',
  },
  idle_exempt_paths: {
    type: 'array',
    elements: { type: 'string', pattern: PATH },
    description: 'Beginnings of paths whose requests do not prolong a session, such as polling.',
  },
  idle_exempt_header: {
    type: 'string',
    maxLength: 128,
    pattern: TOKEN,
    description: 'Request header whose presence keeps a request from prolonging a session.',
  },
  logout_methods: {
    type: 'set',
    default: ['POST', 'DELETE'],
    oneOf: ['GET', 'POST', 'DELETE'],
    description: 'Request methods that can sign out.',
  },
  logout_query_arg: {
    type: 'string',
    default: 'session_logout',
    maxLength: 256,
    description: 'Query argument whose presence signs out, whatever its value.',
  },
  logout_post_arg: {
    type: 'string',
    default: 'session_logout',
    maxLength: 256,
    description: 'Body field whose presence signs out (form, multipart or JSON; not JSON `false`).',
  },
  read_body_for_logout: {
    type: 'boolean',
    default: false,
    description: 'Look for `logout_post_arg` in bodies of up to 8 kB.',
  },
  logout_redirect_uri: {
    type: 'string',
    maxLength: 2048,
    pattern: REDIRECT,
    description: 'Where a sign-out leads (303); unset = an empty 200.',
  },
  logout_clear_site_data: {
    type: 'set',
    oneOf: ['cache', 'cookies', 'storage', 'executionContexts', '*'],
    description: 'Clear-Site-Data header of the answer to a sign-out.',
  },
  unauthenticated: {
    type: 'string',
    default: 'continue',
    oneOf: ['continue', 'deny'],
    description:
      'What happens to a request of nobody: `continue` to the other plugins, or `deny` with 401.',
  },
  revoke_on_replay: {
    type: 'boolean',
    default: true,
    description:
      'End a session when a cookie that was replaced long ago comes back (storage `kong`).',
  },
  touch_interval: {
    type: 'number',
    between: [0.1, 3600],
    description:
      'Seconds between two writes of the last use, at most a quarter of `idling_timeout`; default: 60.',
  },
  cache_ttl: {
    type: 'number',
    default: 5,
    between: [0, 60],
    description:
      'Seconds that a node relies on a session it has read, should a notification be lost; at most `stale_ttl`.',
  },
  consumer_ttl: {
    type: 'number',
    default: 30,
    between: [1, 3600],
    description:
      'Seconds after which Kong is asked again whether the consumer, and the credential, still exist.',
  },
  kong_database_url: {
    type: 'string',
    pattern: POSTGRES_URL,
    referenceable: true,
    description:
      "Read access to Kong's own database: sessions end with their credential, or when its password changes.",
  },
  postgres: {
    type: 'record',
    fields: POSTGRES_FIELDS,
    checks: POSTGRES_CHECKS,
    description:
      'Database of the sessions. Needed for storage `kong`; with storage `cookie` it makes logout final.',
  },
  cookie_lifetime: old('rolling_timeout'),
  cookie_idletime: old('idling_timeout'),
  cookie_renew: {
    type: 'number',
    between: [1, LONGEST],
    description:
      'Seconds left of `rolling_timeout` at which to renew, at most half of it; default: a quarter of it.',
  },
  cookie_discard: {
    type: 'number',
    between: [0, 3600],
    description: 'Old name of `stale_ttl`, which it overrides.',
  },
  cookie_samesite: {
    type: 'string',
    oneOf: ['Strict', 'Lax', 'None', 'Default', 'off'],
    description: 'Old name of `cookie_same_site`, which it overrides; `off` means Lax.',
  },
  cookie_httponly: {
    type: 'boolean',
    description: 'Old name of `cookie_http_only`, which it overrides.',
  },
  cookie_persistent: {
    type: 'boolean',
    description: 'Old name of `remember`, which it overrides.',
  },
} as const satisfies FieldTable;
