import { stringifySetCookie } from 'cookie';
import type { CookieSettings } from './config.ts';
import { SessionError } from './errors.ts';

/** Name and value together, in octets: what browsers keep at least (RFC 6265bis 5.6) and at most. */
const MAX_COOKIE = 4096;
const MAX_CHUNKS = 9;

/**
 * The values of all cookies called exactly `name`, in the order of the header (RFC 6265 4.2.1). Nothing is
 * decoded, unquoted or trimmed but the SP and HTAB before a pair; nameless cookies belong to nobody. A lenient reading
 * here is how `__Host-` was defeated elsewhere (security.md: CVE-2023-23934, "Cookie Chaos").
 */
function cookieValues(header: string, name: string): string[] {
  const values: string[] = [];
  // Most headers do not hold the name at all; this spares them the splitting.
  if (!header.includes(name)) return values;
  for (const pair of header.split(';')) {
    const start = skipBlanks(pair, 0);
    if (!pair.startsWith(name, start) || pair[start + name.length] !== '=') continue;
    values.push(pair.slice(start + name.length + 1));
  }
  return values;
}

/**
 * The header without the cookies that `isOurs` names, every other octet as it was; `undefined` where none of
 * ours is in it, `''` where nothing else is.
 */
function stripCookies(
  header: string,
  isOurs: (name: string, value: string) => boolean,
): string | undefined {
  const pairs = header.split(';');
  const kept = pairs.filter((pair) => {
    const [name, value] = splitPair(pair);
    return !isOurs(name, value);
  });
  if (kept.length === pairs.length) return undefined;
  return kept.join(';').replace(/^[ \t]+/, '');
}

function splitPair(pair: string): [name: string, value: string] {
  const equals = pair.indexOf('=');
  if (equals === -1) return ['', ''];
  return [pair.slice(skipBlanks(pair, 0), equals), pair.slice(equals + 1)];
}

function skipBlanks(text: string, from: number): number {
  let index = from;
  while (text[index] === ' ' || text[index] === '\t') index++;
  return index;
}

/** `session`, `session2` … `session9`: the names the bundled plugin gives its chunks too. */
const chunkName = (name: string, index: number): string => (index === 1 ? name : `${name}${index}`);

const isChunkOf = (name: string, candidate: string): boolean =>
  candidate.startsWith(name) && /^[2-9]$/.test(candidate.slice(name.length));

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
  if (own.values.length === 0) return [];
  return [deletion(settings, settings.name), ...deleteChunks(settings, own, 2)];
}

function deleteChunks(settings: WrittenCookie, own: OwnCookies, from: number): string[] {
  const numbers = own.chunks.filter((index) => index >= from);
  return numbers.map((index) => deletion(settings, chunkName(settings.name, index)));
}

/** The attributes are those it was set with: another Path or Domain would name another cookie (RFC 6265bis 5.7). */
const deletion = (settings: WrittenCookie, name: string): string =>
  setCookie(settings, name, '', 0);

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
  /** Numbers of the chunks beside the first, where one of the values came in chunks. */
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
  const raw = new Set<string>();
  const values: string[] = [];
  let isChunked = false;
  for (const first of cookieValues(header, name)) {
    if (first.length > roomFor(name) + 1) continue;
    const inChunks = first[1] === '~';
    const value = inChunks ? join(header, name, first) : first;
    if (value === undefined || !isOurs(value)) continue;
    if (values.length < MAX_CANDIDATES) values.push(value);
    raw.add(first);
    isChunked ||= inChunks;
  }
  if (values.length === 0) return { values, chunks: [], rest: undefined };
  const rest = stripCookies(header, (candidate, value) =>
    candidate === name ? raw.has(value) : isChunked && isChunkOf(name, candidate),
  );
  return { values, chunks: isChunked ? chunkNumbers(header, name) : [], rest };
}

function chunkNumbers(header: string, name: string): number[] {
  const numbers = Array.from({ length: MAX_CHUNKS - 1 }, (_, index) => index + 2);
  return numbers.filter((index) => cookieValues(header, chunkName(name, index)).length > 0);
}

/** One spelling per value: chunks that we would have cut elsewhere are none. */
function join(header: string, name: string, first: string): string | undefined {
  const count = Number(first[0]);
  if (!(count >= 2 && count <= MAX_CHUNKS)) return undefined;
  const chunks = [first];
  for (let index = 2; index <= count; index++) {
    const chunk = cookieValues(header, chunkName(name, index))[0];
    if (chunk === undefined || chunk.length > roomFor(name)) return undefined;
    chunks.push(chunk);
  }
  const value = chunks.join('').slice(2);
  const asWritten = split(name, value);
  return chunks.every((chunk, index) => chunk === asWritten[index]) ? value : undefined;
}
