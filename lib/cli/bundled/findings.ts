import { isIP } from 'node:net';
import type { Fields, Found } from './found.ts';
import { RENAMED } from './names.ts';
import { defaultOf } from './values.ts';

/** Something that whoever takes the configuration over should know. */
export interface Finding {
  readonly level: 'warning' | 'note';
  /** For programs; it does not change. */
  readonly code: string;
  readonly field: string;
  /** Continues the field's name; ends without a full stop. */
  readonly message: string;
}

interface Given {
  readonly found: Found;
  /** For session-guard: what was taken over. */
  readonly config: Fields;
  /** The value in force. */
  readonly value: (field: string) => unknown;
}

type Rule = (given: Given) => Finding | undefined;

const warning = (code: string, field: string, message: string): Finding => ({
  level: 'warning',
  code,
  field,
  message,
});
const note = (code: string, field: string, message: string): Finding => ({
  ...warning(code, field, message),
  level: 'note',
});

/** Everything but the secret, which has rules of its own. */
export function findingsOf(found: Found, config: Fields): Finding[] {
  const value = (field: string) => config[field] ?? defaultOf(field);
  const given = { found, config, value };
  return [...pairs(found), ...RULES.map((rule) => rule(given))].filter(
    (finding) => finding !== undefined,
  );
}

/** The bundled plugin says nothing about them. */
const pairs = ({ config }: Found): Finding[] =>
  Object.entries(RENAMED)
    .filter(([old, name]) => isGiven(config, old) && isGiven(config, name))
    .map(([old, name]) =>
      warning('both_names', old, `and ${name} are both given, and the old name wins: keep one`),
    );

/** Null is what the Admin API shows for absent; as `cookie_idletime` it means off. */
export function isGiven(config: Fields, field: string): boolean {
  const value = Object.hasOwn(config, field) ? config[field] : undefined;
  return value !== undefined && (value !== null || field === 'cookie_idletime');
}

const storage: Rule = ({ found, value }) => {
  if (value('storage') !== 'cookie') {
    return note(
      'storage_needs_postgres',
      'storage',
      "kong needs the record postgres, of any Postgres: it need not be Kong's own",
    );
  }
  const portal = found.origin === 'portal' ? ', and the Dev Portal needs kong' : '';
  return warning(
    'storage_cookie',
    'storage',
    `cookie: signing out deletes only the browser's copy${portal}: set storage kong, or give cookie storage a postgres`,
  );
};

const longRolling: Rule = ({ value, config }) => {
  const [rolling, idling, absolute] = (
    ['rolling_timeout', 'idling_timeout', 'absolute_timeout'] as const
  ).map((field) => Number(value(field)));
  if (rolling === undefined || !(Number(absolute) > 0 && rolling > Number(absolute))) {
    return undefined;
  }
  const idle = Number(idling) > 0 ? `${idling} s without a request (idling_timeout) and ` : '';
  const isDefault = config['absolute_timeout'] === undefined ? ', the default' : '';
  return warning(
    'rolling_cut_short',
    'rolling_timeout',
    `${rolling} (${days(rolling)}) is cut short: a session ends after ${idle}${absolute} s in all (absolute_timeout${isDefault}); raise these too, 0 = never`,
  );
};

const days = (seconds: number): string => `${Math.round((seconds / 86_400) * 10) / 10} days`;

/** Before Kong 3.2 nothing ended an idle session unless `cookie_idletime` was set. */
const newIdleLimit: Rule = ({ found: { config }, value }) => {
  const isOld = Object.keys(RENAMED).some((name) => isGiven(config, name));
  if (!isOld || isGiven(config, 'cookie_idletime') || isGiven(config, 'idling_timeout')) {
    return undefined;
  }
  return warning(
    'idle_limit_new',
    'idling_timeout',
    `is ${String(value('idling_timeout'))} unless set; with the old names there was no idle limit (Kong before 3.2): set it, 0 = never`,
  );
};

const insecure: Rule = ({ value }) =>
  value('cookie_secure') === false && value('cookie_same_site') !== 'None'
    ? warning(
        'cookie_insecure',
        'cookie_secure',
        'false sends the cookie in clear over plain HTTP too: for tests only',
      )
    : undefined;

const noneNeedsSecure: Rule = ({ value }) =>
  value('cookie_same_site') === 'None' && value('cookie_secure') === false
    ? warning(
        'none_forces_secure',
        'cookie_same_site',
        'None is only accepted with Secure, so cookie_secure: false is overruled and plain HTTP does not work',
      )
    : undefined;

const none: Rule = ({ value }) =>
  value('cookie_same_site') === 'None'
    ? warning(
        'same_site_none',
        'cookie_same_site',
        'None sends the cookie with requests from any site: sub-domains of one domain need only Lax, other sites CSRF protection in the upstream',
      )
    : undefined;

const strictDomain: Rule = ({ value, config }) =>
  value('cookie_same_site') === 'Strict' && typeof config['cookie_domain'] === 'string'
    ? note(
        'same_site_strict',
        'cookie_same_site',
        'Strict: links from mails and other sites arrive without the cookie; where sub-domains share it, Lax is usual',
      )
    : undefined;

const sharedDomain: Rule = ({ config: { cookie_domain: domain } }) => {
  if (typeof domain !== 'string') return undefined;
  const host = domain.replace(/^\./, '');
  if (host === 'localhost') {
    return note('domain_localhost', 'cookie_domain', 'localhost is left out: browsers refuse it');
  }
  if (isIP(host) !== 0 || !host.includes('.')) {
    return warning(
      'domain_unusable',
      'cookie_domain',
      'is an address or a single word, for which browsers refuse the cookie: leave it unset, or set the parent domain of the hosts',
    );
  }
  return note(
    'domain_shared',
    'cookie_domain',
    'gives the cookie to every host of the domain: unset it where one host is enough',
  );
};

/** Its pages call `DELETE …?session_logout=true` themselves. */
const portalLogout: Rule = ({ found, value }) => {
  if (found.origin !== 'portal') return undefined;
  const methods = value('logout_methods');
  const canDelete = Array.isArray(methods) && methods.includes('DELETE');
  const changed = ['logout_query_arg', 'logout_post_arg'].find(
    (field) => value(field) !== defaultOf(field),
  );
  if (canDelete && changed === undefined) return undefined;
  return warning(
    'portal_logout',
    canDelete ? (changed ?? 'logout_query_arg') : 'logout_methods',
    "must stay as it is by default: the Dev Portal's pages have their way to sign out built in",
  );
};

const RULES: readonly Rule[] = [
  storage,
  longRolling,
  newIdleLimit,
  insecure,
  noneNeedsSecure,
  none,
  strictDomain,
  sharedDomain,
  portalLogout,
];
