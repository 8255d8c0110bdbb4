import type { ConditionalCheck, EntityCheck } from './field.ts';
import { PREFIXES } from './fields.ts';
import { beginning } from './patterns.ts';

/** An absent value would meet every condition in Kong's eyes but this one. */
const PRESENT = { ne: null };

type Then = Pick<ConditionalCheck, 'then_field' | 'then_match' | 'then_err'>;

/** What must hold where a cookie's name begins with one of these. */
const wherePrefixed = (prefixes: readonly string[], then: Then): EntityCheck[] => [
  ...['cookie_name', 'remember_cookie_name'].flatMap((if_field) =>
    prefixes.map((prefix) => ({
      conditional: { if_field, if_match: { ...PRESENT, match: beginning(prefix) }, ...then },
    })),
  ),
  {
    conditional: {
      if_field: 'cookie_prefix',
      if_match: {
        ...PRESENT,
        one_of: PREFIXES.filter((known) => prefixes.some((prefix) => known.startsWith(prefix))),
      },
      ...then,
    },
  },
];

const HOST = ['__Host-'];
const HTTP = ['__Http-', '__Host-Http-'];
const SECURE = ['__Host-', '__Secure-', '__Http-'];

/** Rules over several fields (RFC 6265bis 4.1.3 for the prefixes). config.ts checks the same once more. */
export const CHECKS: readonly EntityCheck[] = [
  {
    conditional: {
      if_field: 'storage',
      if_match: { ...PRESENT, one_of: ['kong', 'postgres'] },
      // A field of the record that is filled in with the record: a condition on a record itself makes Kong 3.9.1
      // answer 500 (kong/db/schema/init.lua loses the record's fields on the way).
      then_field: 'postgres.schema',
      then_match: { ne: null },
      then_err: 'storage kong needs the record postgres, with a url or a host',
    },
  },
  { distinct: ['cookie_name', 'remember_cookie_name'] },
  ...wherePrefixed(HOST, { then_field: 'cookie_path', then_match: { eq: '/' } }),
  ...wherePrefixed(HOST, {
    then_field: 'cookie_domain',
    then_match: { len_eq: 0 },
    then_err: 'a __Host- cookie must not have a cookie_domain',
  }),
  ...wherePrefixed(SECURE, { then_field: 'cookie_secure', then_match: { eq: true } }),
  ...wherePrefixed(HTTP, { then_field: 'cookie_http_only', then_match: { eq: true } }),
  // The old name overrides the new one, but may be absent.
  ...wherePrefixed(HTTP, { then_field: 'cookie_httponly', then_match: { ne: false } }),
];
