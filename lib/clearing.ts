import { TOLD } from './fields.ts';
import type { PdkValue } from './pdk.ts';
import { headerOf } from './told.ts';

/** Headers for the upstream by name. `[]` clears one in the same call that sets others; null would leave it. */
export type Headers = Readonly<Record<string, PdkValue>>;

/** Identity headers that Kong's auth plugins and acl set or clear by themselves. */
export const CONSUMER_HEADERS = [
  'X-Consumer-ID',
  'X-Consumer-Custom-ID',
  'X-Consumer-Username',
  'X-Credential-Identifier',
  'X-Anonymous-Consumer',
];
/** Those that nobody but a client, or an auth plugin that we override, has set when it is our turn. */
const AUTHENTICATED_HEADERS = ['X-Authenticated-Scope', 'X-Authenticated-UserId'];
const GROUP_HEADERS = ['X-Authenticated-Groups', 'X-Consumer-Groups'];
/** What only we tell, so that a client's own never passes for ours (D11). */
const SESSION_HEADERS = TOLD.map(headerOf);

/** nginx/session-guard.conf names the same. */
export const EVERY_HEADER: readonly string[] = [
  ...CONSUMER_HEADERS,
  ...AUTHENTICATED_HEADERS,
  ...GROUP_HEADERS,
  ...SESSION_HEADERS,
];

const lower = (name: string): string => name.toLowerCase();
const SPEAKING = new Set(EVERY_HEADER.map(lower));

/**
 * Whether a header speaks for Kong or for us. Kong lets names with underscores through and many frameworks fold them
 * into dashes, so a client's `x_consumer-username` would (CVE-2025-64484).
 *
 * @param name in lower case
 */
export const speaks = (name: string): boolean =>
  SPEAKING.has(name.includes('_') ? name.replaceAll('_', '-') : name);

/** `X-A-B` → `X-A_B`, `X_A-B`, `X_A_B`: another header to Kong, the same to many a framework. */
function twins(name: string): string[] {
  const [first = '', ...rest] = name.split('-');
  const spellings = rest.reduce(
    (beginnings, part) => beginnings.flatMap((text) => [`${text}-${part}`, `${text}_${part}`]),
    [first],
  );
  return spellings.filter((spelling) => spelling !== name);
}

const EVERY_TWIN = EVERY_HEADER.flatMap(twins);

const cleared = (names: readonly string[]): Headers =>
  Object.fromEntries(names.map((name) => [name, []]));

/** Headers that must not reach the upstream as the client sent them. */
class Clearing {
  readonly #names: ReadonlySet<string>;
  readonly #everything: Headers;

  /** @param names as Kong spells them; other spellings of whatever speaks are cleared in any case */
  constructor(names: readonly string[]) {
    this.#names = new Set(names.map(lower));
    this.#everything = cleared([...names, ...EVERY_TWIN]);
  }

  /**
   * The headers to set, and with them what is to be cleared.
   *
   * @param sent the speaking names that the request has, in lower case; `undefined` = not known
   */
  beside(set: Headers, sent: readonly string[] | undefined): Headers {
    if (sent === undefined) return { ...this.#everything, ...set };
    const names = sent.filter((name) => this.#means(name));
    if (names.length === 0) return set;
    const own = new Set(Object.keys(set).map(lower));
    return { ...cleared(names.filter((name) => !own.has(name))), ...set };
  }

  #means(name: string): boolean {
    return this.#names.has(name) || name.includes('_');
  }
}

/** Where an auth plugin has spoken about this request. */
export const BESIDE_CREDENTIAL = new Clearing([...GROUP_HEADERS, ...SESSION_HEADERS]);
/** Where one let the request pass as anonymous. */
export const FOR_ANONYMOUS = new Clearing([
  ...GROUP_HEADERS,
  ...SESSION_HEADERS,
  ...AUTHENTICATED_HEADERS,
]);
/** Where nobody has, or what was said is replaced. */
export const FOR_ANYBODY = new Clearing(EVERY_HEADER);
