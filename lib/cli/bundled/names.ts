import { FIELDS } from '../../fields.ts';

/** Names until Kong 3.1, which the bundled plugin still takes, and what they are called now. */
export const RENAMED: Readonly<Record<string, string>> = {
  cookie_lifetime: 'rolling_timeout',
  cookie_idletime: 'idling_timeout',
  cookie_discard: 'stale_ttl',
  cookie_samesite: 'cookie_same_site',
  cookie_httponly: 'cookie_http_only',
  cookie_persistent: 'remember',
};

/** Every field that any version of the bundled plugin has, in the order of its documentation. */
export const BUNDLED_FIELDS: ReadonlySet<string> = new Set([
  'secret',
  'storage',
  'audience',
  'idling_timeout',
  'rolling_timeout',
  'absolute_timeout',
  'stale_ttl',
  'cookie_name',
  'cookie_path',
  'cookie_domain',
  'cookie_same_site',
  'cookie_http_only',
  'cookie_secure',
  'remember',
  'remember_cookie_name',
  'remember_rolling_timeout',
  'remember_absolute_timeout',
  'response_headers',
  'request_headers',
  'read_body_for_logout',
  'logout_methods',
  'logout_query_arg',
  'logout_post_arg',
  'store_metadata',
  'hash_subject',
  'bind',
  'cookie_renew',
  ...Object.keys(RENAMED),
]);

export const isOurs = (name: string): name is keyof typeof FIELDS => Object.hasOwn(FIELDS, name);
