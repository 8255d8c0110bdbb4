import { isFields } from '../bundled/found.ts';
import type { Fields } from '../bundled/found.ts';
import { warning } from './diagnosis.ts';
import type { Diagnosis } from './diagnosis.ts';
import type { Plugin } from './gateway.ts';

/** Two plugins whose cookies have one name, but which cannot read each other's. */
export function lintCookies(guards: readonly Plugin[]): Diagnosis[] {
  const enabled = guards.filter((guard) => guard.enabled);
  return enabled.flatMap((guard, index) => {
    const rival = enabled
      .slice(0, index)
      .find((other) => cookieOf(other) === cookieOf(guard) && !share(other.config, guard.config));
    if (rival === undefined) return [];
    const message = `shares the cookie's name with plugin ${rival.id}, but not its secret or storage`;
    const remedy = 'give one of them another cookie_name, or both the same secret and storage';
    return [warning('cookie_clash', `plugin ${guard.id}`, message, remedy)];
  });
}

const cookieOf = ({ config }: Plugin): string =>
  JSON.stringify(
    ['cookie_prefix', 'cookie_name', 'cookie_path', 'cookie_domain'].map(
      (field) => config[field] ?? null,
    ),
  );

/** Sessions of one are sessions of the other: what config.ts calls the realm, in one database. */
const share = (one: Fields, other: Fields): boolean =>
  opens(one, other) &&
  opens(other, one) &&
  (one['storage'] === 'cookie') === (other['storage'] === 'cookie') &&
  isFields(one['postgres']) === isFields(other['postgres']) &&
  isSameDatabase(toDatabase(one['postgres']), toDatabase(other['postgres']));

/** In the middle of a rotation the secrets differ, but each is among the other's fallbacks. */
function opens(reader: Fields, writer: Fields): boolean {
  const fallbacks: unknown = reader['secret_fallbacks'];
  const ring: unknown[] = [reader['secret'], ...(Array.isArray(fallbacks) ? fallbacks : [])];
  return ring.includes(writer['secret']);
}

interface NamedDatabase {
  readonly schema: unknown;
  /** `undefined` where a vault reference hides it. */
  readonly place: string | undefined;
  readonly reference: unknown;
}

/** Who connects, and how, does not matter. */
function toDatabase(postgres: unknown): NamedDatabase {
  const { schema, url, host, port, database } = isFields(postgres) ? postgres : {};
  if (typeof url !== 'string') {
    return { schema, place: JSON.stringify([host, port, database]), reference: undefined };
  }
  if (!URL.canParse(url)) return { schema, place: undefined, reference: url };
  const { hostname, port: digits, pathname } = new URL(url);
  const named = [hostname, Number(digits || 5432), decodeURIComponent(pathname.slice(1))];
  return { schema, place: JSON.stringify(named), reference: undefined };
}

/** Of two databases of which one is hidden nothing is said. */
function isSameDatabase(one: NamedDatabase, other: NamedDatabase): boolean {
  if (one.schema !== other.schema) return false;
  const isOneHidden = (one.place === undefined) !== (other.place === undefined);
  return isOneHidden || (one.place === other.place && one.reference === other.reference);
}
