import { printable } from '../format.ts';

/** Names and values that somebody else wrote. */
export type Fields = Readonly<Record<string, unknown>>;

/** What a plugin is attached to; names are Kong's names or ids. */
export type Scope =
  | { readonly kind: 'global' }
  | { readonly kind: 'service' | 'route'; readonly name: string }
  /** A consumer or a group, to which a session plugin cannot be attached. */
  | { readonly kind: 'unsupported'; readonly name: string };

/** One configuration of the bundled plugin, as found. */
export interface Found {
  /** The Dev Portal's has rules of its own. */
  readonly origin: 'portal' | 'plugin';
  /** For people: `portal_session_conf`, `services[0].plugins[1]`. */
  readonly where: string;
  readonly scope: Scope;
  readonly config: Fields;
  /** What else the plugin's entity says: enabled, protocols, tags. */
  readonly entity: Fields;
}

export const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The members of a list that are objects, with their places. */
export const objectsIn = (list: unknown): [Fields, number][] =>
  Array.isArray(list)
    ? list.flatMap((item, index): [Fields, number][] => (isFields(item) ? [[item, index]] : []))
    : [];

/** Kong's names have no control characters; whatever has some is not printed. */
const isName = (value: unknown): value is string =>
  typeof value === 'string' && value !== '' && printable(value) === value;

/** How an entity or a reference to one is called: a name, or an object with a name or an id. */
export function nameOf(reference: unknown): string | undefined {
  if (!isFields(reference)) return isName(reference) ? reference : undefined;
  const { name, username, id } = reference;
  return [name, username, id].find(isName);
}
