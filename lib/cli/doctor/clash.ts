import { isFields } from '../bundled/found.ts';
import type { Fields } from '../bundled/found.ts';
import { warning } from './diagnosis.ts';
import type { Diagnosis } from './diagnosis.ts';
import type { Plugin } from './gateway.ts';

/** A cookie that a plugin sets. */
interface Cookie {
  readonly plugin: Plugin;
  readonly field: 'cookie_name' | 'remember_cookie_name';
  readonly name: string;
}

/** Plugins whose cookies get in each other's way. */
export function lintCookies(guards: readonly Plugin[]): Diagnosis[] {
  const enabled = guards.filter((guard) => guard.enabled);
  return enabled.flatMap((guard, index) => {
    const others = enabled.slice(0, index).flatMap(cookiesOf);
    return cookiesOf(guard).flatMap((cookie) => {
      const namesake = others.find((other) => isNamesake(cookie, other));
      if (namesake) return [clash(cookie, namesake)];
      const neighbour = others.find((other) => isPart(cookie, other) || isPart(other, cookie));
      return neighbour ? [overlap(cookie, neighbour)] : [];
    });
  });
}

function cookiesOf(plugin: Plugin): Cookie[] {
  const { config } = plugin;
  const fields = ['cookie_name', ...(config['remember'] === true ? ['remember_cookie_name'] : [])];
  return (fields as Cookie['field'][]).flatMap((field) => {
    const name = config[field];
    return typeof name === 'string' ? [{ plugin, field, name }] : [];
  });
}

function clash({ plugin, field, name }: Cookie, other: Cookie): Diagnosis {
  const message = `its cookie ${name} has the name of one of plugin ${other.plugin.id}, and neither can read the other's`;
  const remedy = `give one of them another ${field}, or both the same secret, storage and cookie_name`;
  return warning('cookie_clash', `plugin ${plugin.id}`, message, remedy);
}

function overlap({ plugin, field, name }: Cookie, other: Cookie): Diagnosis {
  const message = `the cookie ${name} and ${other.name} of plugin ${other.plugin.id} may be parts of one another`;
  const remedy = `let no ${field} be another one with a digit behind it: so the parts of a long cookie are called`;
  return warning('cookie_parts', `plugin ${plugin.id}`, message, remedy);
}

/** Of one name, in one place of the browser, and yet two. */
const isNamesake = (one: Cookie, other: Cookie): boolean =>
  one.name === other.name &&
  placeOf(one) === placeOf(other) &&
  !(one.field === other.field && share(one.plugin.config, other.plugin.config));

/** Whether a name is what the other's chunks are called (cookie.ts); with sessions on the server there are none. */
const isPart = (chunk: Cookie, whole: Cookie): boolean =>
  whole.plugin.config['storage'] === 'cookie' &&
  placeOf(chunk) === placeOf(whole) &&
  chunk.name.slice(0, -1) === whole.name &&
  /[2-9]$/.test(chunk.name);

const placeOf = ({ plugin: { config } }: Cookie): string =>
  JSON.stringify(
    ['cookie_prefix', 'cookie_path', 'cookie_domain'].map((field) => config[field] ?? null),
  );

/** Sessions of one are sessions of the other: what config.ts calls the realm, in one database. */
const share = (one: Fields, other: Fields): boolean =>
  opens(one, other) &&
  opens(other, one) &&
  one['cookie_name'] === other['cookie_name'] &&
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
