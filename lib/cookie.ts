import { stringifySetCookie } from 'cookie';
import type { CookieSettings } from './config.ts';
import { SessionError } from './errors.ts';

/** Name and value together, in octets: what browsers keep at least (RFC 6265bis 5.6) and at most. */
const MAX_COOKIE = 4096;
const MAX_CHUNKS = 9;

interface Pair {
  /** As it stands between the semicolons. */
  readonly text: string;
  readonly name: string;
  readonly value: string;
}

/**
 * The pairs of a Cookie header in order (RFC 6265 4.2.1). Nothing is decoded, unquoted or trimmed but the SP and HTAB
 * before a pair; a nameless cookie has the name `''` and belongs to nobody. A lenient reading here is how `__Host-`
 * was defeated elsewhere (CVE-2023-23934, "Cookie Chaos").
 */
const pairsOf = (header: string): Pair[] =>
  header.split(';').map((text) => {
    const equals = text.indexOf('=');
    if (equals === -1) return { text, name: '', value: '' };
    return { text, name: text.slice(skipBlanks(text), equals), value: text.slice(equals + 1) };
  });

function skipBlanks(text: string): number {
  let index = 0;
  while (text[index] === ' ' || text[index] === '\t') index++;
  return index;
}

/** `session`, `session2` … `session9`: the names the bundled plugin gives its chunks too. */
const chunkName = (name: string, index: number): string => (index === 1 ? name : `${name}${index}`);

/** Settings of a cookie for one request: whether it is Secure has been decided. */
export type WrittenCookie = CookieSettings & { readonly secure: boolean };

/** Set-Cookie lines that give the browser `value`, in as many chunks as it needs, and delete a longer value's rest. */
export function setCookies(settings: WrittenCookie, value: string, own: OwnCookies): string[] {
  const chunks = split(settings.name, value);
  const lines = chunks.map((chunk, index) =>
    setCookie(settings, chunkName(settings.name, index + 1), chunk, settings.maxAge),
  );
  return [...lines, ...deleteChunks(settings, own, chunks.length + 1)];
}

/** Set-Cookie lines that delete our cookies; those of other applications with the same name are left alone. */
export function deleteCookies(settings: WrittenCookie, own: OwnCookies): string[] {
  const first = own.values.length === 0 ? [] : [deletion(settings, settings.name)];
  return [...first, ...deleteChunks(settings, own, 2)];
}

function deleteChunks(settings: WrittenCookie, own: OwnCookies, from: number): string[] {
  const numbers = own.chunks.filter((index) => index >= from);
  return numbers.map((index) => deletion(settings, chunkName(settings.name, index)));
}

/** The attributes are those it was set with: another Path or Domain would name another cookie (RFC 6265bis 5.7). */
const deletion = (settings: WrittenCookie, name: string): string =>
  setCookie(settings, name, '', 0);

/**
 * Writes one for nobody: what cannot be written must not fail at every sign-in.
 * @throws SessionError ERR_CONFIG naming the attribute
 */
export function checkCookie(settings: CookieSettings): void {
  try {
    setCookie({ ...settings, secure: true }, settings.name, 'x', settings.maxAge);
  } catch (error) {
    // Without the value, which follows.
    const [problem] = (error as Error).message.split(':');
    throw new SessionError('ERR_CONFIG', `config: ${settings.name} cannot be set: ${problem}`);
  }
}

/** @param maxAge in seconds; Expires says the same for those who do not know Max-Age (RFC 6265bis 5.6) */
function setCookie(
  settings: WrittenCookie,
  name: string,
  value: string,
  maxAge: number | undefined,
): string {
  const { path, domain, sameSite, httpOnly, secure, partitioned, priority } = settings;
  return stringifySetCookie(
    {
      name,
      value,
      path,
      httpOnly,
      secure,
      partitioned,
      ...(domain !== undefined && { domain }),
      ...(sameSite && { sameSite: lower(sameSite) }),
      ...(priority && { priority: lower(priority) }),
      ...(maxAge !== undefined && { maxAge, expires: expiryOf(maxAge) }),
    },
    { encode: (text) => text },
  );
}

const lower = <T extends string>(text: T) => text.toLowerCase() as Lowercase<T>;
const expiryOf = (maxAge: number): Date => new Date(maxAge === 0 ? 0 : Date.now() + maxAge * 1000);

/** What fits beside a chunk's name, its digit and the equals sign. */
const roomFor = (name: string): number => MAX_COOKIE - name.length - 2;

/**
 * A value too long for one cookie begins with the number of its chunks and a tilde, so that a surplus chunk
 * of an older, longer value is not mistaken for a part, and a missing one is noticed.
 */
function split(name: string, value: string): string[] {
  const room = roomFor(name);
  if (value.length <= room + 1) return [value];
  const count = Math.ceil((value.length + 2) / room);
  if (count > MAX_CHUNKS) {
    throw new SessionError(
      'ERR_TOO_LARGE',
      `the session needs ${count} cookies of ${MAX_COOKIE} octets; browsers are sent at most ${MAX_CHUNKS}`,
    );
  }
  const marked = `${count}~${value}`;
  return Array.from({ length: count }, (_, index) =>
    marked.slice(index * room, (index + 1) * room),
  );
}

/** How many values of one name are looked at: enough for a sibling domain's and a longer path's, no more. */
const MAX_CANDIDATES = 6;

/** What a Cookie header holds of ours. */
export interface OwnCookies {
  /** The values, chunks joined, in the order of the header. Which of them is genuine is for the token to say. */
  readonly values: readonly string[];
  /** Numbers of the chunks beside the first, where one of the values came in chunks, and of those without a first. */
  readonly chunks: readonly number[];
  /** The header without them; `undefined` where there is none of ours, `''` where there is nothing else. */
  readonly rest: string | undefined;
}

/**
 * Finds our cookies. `isOurs` looks at a value's spelling only, so it is cheap; what it refuses may belong to
 * another application or to a node that has another secret already.
 */
export function findOwnCookies(
  header: string,
  name: string,
  isOurs: (value: string) => boolean,
): OwnCookies {
  // Most headers do not hold the name at all; this spares them the splitting.
  if (!header.includes(name)) return NO_COOKIES;
  const pairs = pairsOf(header);
  const chunks = firstChunks(pairs, name);
  const raw = new Set<string>();
  const values = new Set<string>();
  let longest = 1;
  for (const pair of pairs) {
    if (pair.name !== name || pair.value.length > roomFor(name) + 1 || raw.has(pair.value))
      continue;
    const count = countOf(pair.value);
    const value = count === 1 ? pair.value : join(pair.value, count, chunks, name);
    if (value === undefined || !isOurs(value)) continue;
    raw.add(pair.value);
    if (values.size < MAX_CANDIDATES) values.add(value);
    longest = Math.max(longest, count);
  }
  const isStrange = (pair: Pair) => pair.name === name && !raw.has(pair.value);
  const orphans = pairs.some(isStrange) ? NONE : orphansIn(chunks, longest, roomFor(name));
  if (values.size === 0 && orphans.size === 0) return NO_COOKIES;
  const isChunk = (number: number) => number <= longest || orphans.has(number);
  const isOwn = (pair: Pair) =>
    pair.name === name ? raw.has(pair.value) : isChunk(numberOf(pair.name, name));
  const kept = pairs.filter((pair) => !isOwn(pair));
  const rest = kept.map(({ text }) => text).join(';');
  return {
    values: [...values],
    chunks: [...chunks.keys()].filter(isChunk).toSorted((one, other) => one - other),
    rest: rest.slice(skipBlanks(rest)),
  };
}

export const NO_COOKIES: OwnCookies = { values: [], chunks: [], rest: undefined };

const NONE: ReadonlySet<number> = new Set();

/** 2 to 9 for a chunk of `name`, Infinity for every other cookie. */
function numberOf(candidate: string, name: string): number {
  if (candidate.length !== name.length + 1 || !candidate.startsWith(name)) return Infinity;
  const digit = candidate.charCodeAt(name.length) - 48;
  return digit >= 2 && digit <= MAX_CHUNKS ? digit : Infinity;
}

/** Whether a cookie of this name could be a chunk of the other. */
export const isChunkName = (candidate: string, name: string): boolean =>
  numberOf(candidate, name) !== Infinity;

/** The chunks by their number; of several with one number the first. */
function firstChunks(pairs: readonly Pair[], name: string): Map<number, string> {
  const chunks = new Map<number, string>();
  for (const pair of pairs) {
    const number = numberOf(pair.name, name);
    if (number !== Infinity && !chunks.has(number)) chunks.set(number, pair.value);
  }
  return chunks;
}

/** Part of a compact JWE behind its first octets: at most the last of its dots. */
const PART = /^[\w-]*\.?[\w-]+$/;

/**
 * Chunks whose first is gone, or was replaced by a shorter value: those beyond the `longest`, from one that is filled to
 * the last octet to the next that is not. A single short one may be anybody's, and beside a first one that is not ours,
 * or sealed under a secret that is not known here, all of them may.
 */
function orphansIn(
  chunks: ReadonlyMap<number, string>,
  longest: number,
  room: number,
): ReadonlySet<number> {
  const orphans = new Set<number>();
  for (let number = longest + 1; number <= MAX_CHUNKS; number++) {
    const chunk = chunks.get(number) ?? '';
    const isFull = chunk.length === room && PART.test(chunk);
    const isLast = orphans.has(number - 1) && chunk.length < room && PART.test(chunk);
    if (isFull || isLast) orphans.add(number);
    if (isLast) break;
  }
  return orphans;
}

/** How many cookies a value says it was cut into. */
function countOf(value: string): number {
  if (value[1] !== '~') return 1;
  const count = value.charCodeAt(0) - 48;
  return count >= 2 && count <= MAX_CHUNKS ? count : 1;
}

/** One spelling per value: chunks that we would have cut elsewhere are none. */
function join(
  first: string,
  count: number,
  chunks: ReadonlyMap<number, string>,
  name: string,
): string | undefined {
  const room = roomFor(name);
  const parts = [first];
  for (let number = 2; number <= count; number++) {
    const chunk = chunks.get(number);
    // All but the last are full.
    if (chunk === undefined || chunk.length > room || parts.at(-1)?.length !== room)
      return undefined;
    parts.push(chunk);
  }
  return parts.at(-1) === '' ? undefined : parts.join('').slice(2);
}
