import { createHash } from 'node:crypto';
import { CompactEncrypt, compactDecrypt } from 'jose';
import { LRUCache } from 'lru-cache';
import { SessionError } from './errors.ts';
import type { KeyRing, Purpose } from './keys.ts';
import type { Session, SessionData } from './session.ts';
import { UUID } from './uuid.ts';

/** One session that a cookie names. Several audiences share a cookie; each has an entry of its own. */
export interface Entry {
  readonly audience: string;
  /** 256 random bits as 43 characters of base64url. Only the cookie holds it; the table has its SHA-256. */
  readonly id: string;
  readonly generation: number;
  /** With storage `cookie`: the session itself. */
  readonly content?: Content;
}

/** What storage `cookie` keeps of a session besides what the entry and the instance say. */
type Content = Pick<
  Session,
  | 'handle'
  | 'family'
  | 'consumerId'
  | 'credentialId'
  | 'subject'
  | 'data'
  | 'authenticatedAt'
  | 'startedAt'
  | 'renewedAt'
  | 'seenAt'
>;

export interface Token {
  readonly entries: readonly Entry[];
  /** Sealed under a secret that is only a fallback: to be sealed anew. */
  readonly isFallback: boolean;
}

const FORMAT = 1;
/** Sessions in one cookie, each of an audience of its own. */
export const MAX_ENTRIES = 16;
const ALGORITHMS = { keyManagementAlgorithms: ['dir'], contentEncryptionAlgorithms: ['A256GCM'] };
const TYPES: Record<Purpose, string> = {
  session: 'sg-session',
  remember: 'sg-remember',
  data: 'sg-data',
};

/** Verified tokens by the SHA-256 of their spelling and ring. Revocation acts on the session, never on this. */
const verified = new LRUCache<string, Token>({ max: 10_000, maxSize: 8 * 1024 * 1024 });

/**
 * Seals and opens tokens: compact JWE (RFC 7516 7.1) with `alg` dir and `enc` A256GCM, one spelling each. There is
 * one way for a token to be bad, whatever is wrong with it (RFC 7516 11.5).
 */
export class TokenCodec {
  readonly #ring: KeyRing;
  readonly #purpose: Purpose;

  constructor(ring: KeyRing, purpose: Purpose) {
    this.#ring = ring;
    this.#purpose = purpose;
  }

  async seal(entries: readonly Entry[], now: number): Promise<string> {
    if (entries.length > MAX_ENTRIES) {
      throw new SessionError('ERR_TOO_LARGE', `a cookie holds at most ${MAX_ENTRIES} audiences`);
    }
    const payload = { v: FORMAT, s: entries.map(pack) };
    return encrypt(this.#ring, this.#purpose, payload, now);
  }

  /** Whether the value has the shape and the key of a token of ours: cheap, no cryptography, no JSON. */
  isOurs(value: string, now: number): boolean {
    return kidOf(value, this.#purpose, this.#ring, now) !== undefined;
  }

  /** The token, or `undefined` for everything that is not exactly one that we sealed. */
  async open(value: string, now: number): Promise<Token | undefined> {
    const kid = kidOf(value, this.#purpose, this.#ring, now);
    if (kid === undefined) return undefined;
    const name = createHash('sha256').update(this.#ring.identity).update(value).digest('base64url');
    const known = verified.get(name);
    if (known) return known;
    const payload = await decrypt(this.#ring, this.#purpose, kid, value);
    const entries = unpackAll(payload);
    if (entries === undefined) return undefined;
    const token = { entries, isFallback: this.#ring.isFallback(kid) };
    verified.set(name, token, { size: value.length });
    return token;
  }
}

/** Seals what the table keeps about a session's consumer, bound to the session's key so that rows cannot be mixed. */
export class DataCodec {
  readonly #ring: KeyRing;
  readonly #now: () => number;

  constructor(ring: KeyRing, now: () => number) {
    this.#ring = ring;
    this.#now = now;
  }

  async seal(key: string, data: SessionData): Promise<Uint8Array> {
    return Buffer.from(await encrypt(this.#ring, 'data', { k: key, d: data }, this.#now()));
  }

  /** `undefined` if it does not open, belongs to another row, or is not what we write. */
  async open(key: string, sealed: Uint8Array): Promise<SessionData | undefined> {
    const value = Buffer.from(sealed).toString('latin1');
    const kid = kidOf(value, 'data', this.#ring, this.#now());
    if (kid === undefined) return undefined;
    const payload = await decrypt(this.#ring, 'data', kid, value);
    return isObject(payload) && payload['k'] === key ? unpackData(payload['d']) : undefined;
  }
}

const header = (purpose: Purpose, kid: string) => ({
  alg: 'dir',
  enc: 'A256GCM',
  kid,
  typ: TYPES[purpose],
});

const encode = (text: string): string => Buffer.from(text).toString('base64url');

async function encrypt(
  ring: KeyRing,
  purpose: Purpose,
  payload: object,
  now: number,
): Promise<string> {
  const kid = ring.sealingKid(now);
  return new CompactEncrypt(Buffer.from(JSON.stringify(payload)))
    .setProtectedHeader(header(purpose, kid))
    .encrypt(await ring.key(purpose, kid));
}

/** A compact JWE with `dir`: the second part, the encrypted key, is empty; 96-bit IV, 128-bit tag (RFC 7518 5.3). */
const SHAPE = /^([\w-]{60,120})\.\.([\w-]{16})\.([\w-]+)\.([\w-]{22})$/;
const KID = /^\{"alg":"dir","enc":"A256GCM","kid":"([\w-]{11}\.\d{1,6})","typ":"[a-z-]+"\}$/;

/**
 * The kid of a value that is spelled the one way we spell tokens: the very header that we would write, and parts
 * in canonical base64url. jose accepts other spellings of the same octets, so this comes first.
 */
function kidOf(value: string, purpose: Purpose, ring: KeyRing, now: number): string | undefined {
  const match = SHAPE.exec(value);
  if (match === null) return undefined;
  const [, first = '', , ciphertext = '', tag = ''] = match;
  const kid = KID.exec(Buffer.from(first, 'base64url').toString('latin1'))?.[1];
  if (kid === undefined || !ring.knows(kid, now)) return undefined;
  if (first !== encode(JSON.stringify(header(purpose, kid)))) return undefined;
  return isCanonical(ciphertext) && isCanonical(tag) ? kid : undefined;
}

/** No slack bits in the last character, hence no second spelling (RFC 4648 3.5). */
function isCanonical(part: string): boolean {
  const tail = part.slice(part.length - (part.length % 4));
  return Buffer.from(tail, 'base64url').toString('base64url') === tail;
}

async function decrypt(
  ring: KeyRing,
  purpose: Purpose,
  kid: string,
  value: string,
): Promise<unknown> {
  const key = await ring.key(purpose, kid);
  try {
    const { plaintext } = await compactDecrypt(value, key, ALGORITHMS);
    return JSON.parse(Buffer.from(plaintext).toString()) as unknown;
  } catch {
    // Tampered with, or sealed for another realm: one answer for all (RFC 7516 11.5).
    return undefined;
  }
}

const pack = ({ audience, id, generation, content }: Entry): unknown[] =>
  content === undefined
    ? [audience, id, generation]
    : [
        audience,
        id,
        generation,
        {
          h: content.handle,
          f: content.family,
          c: content.consumerId,
          k: content.credentialId,
          s: content.subject,
          d: content.data,
          a: content.authenticatedAt,
          b: content.startedAt,
          r: content.renewedAt,
          u: content.seenAt,
        },
      ];

/** Sealed by us, and checked all the same: another version of us, or a leaked secret, may have written it. */
function unpackAll(payload: unknown): Entry[] | undefined {
  if (!isObject(payload) || payload['v'] !== FORMAT || !Array.isArray(payload['s'])) {
    return undefined;
  }
  if (payload['s'].length === 0 || payload['s'].length > MAX_ENTRIES) return undefined;
  const entries = payload['s'].map(unpack);
  return entries.every((entry) => entry !== undefined) ? entries : undefined;
}

function unpack(packed: unknown): Entry | undefined {
  if (!Array.isArray(packed)) return undefined;
  const [audience, id, generation, content] = packed as unknown[];
  if (!isText(audience) || !isText(id) || !/^[\w-]{43}$/.test(id)) return undefined;
  if (!Number.isSafeInteger(generation) || (generation as number) < 0) return undefined;
  const entry = { audience, id, generation: generation as number };
  if (content === undefined) return entry;
  const unpacked = unpackContent(content);
  return unpacked && { ...entry, content: unpacked };
}

function unpackContent(packed: unknown): Content | undefined {
  if (!isObject(packed)) return undefined;
  const { h: handle, f: family, c: consumerId, k: credentialId, s: subject } = packed;
  const { a: authenticatedAt, b: startedAt, r: renewedAt, u: seenAt } = packed;
  const data = unpackData(packed['d']);
  if (!isText(handle) || !isText(family) || !isText(credentialId)) return undefined;
  // Kong answers 500 to a look-up by anything else (kong/pdk/client.lua).
  if (!isText(consumerId) || !UUID.test(consumerId.toLowerCase())) return undefined;
  if (!isOptionalText(subject) || data === undefined) return undefined;
  if (!isMoment(authenticatedAt) || !isMoment(startedAt)) return undefined;
  if (!isMoment(renewedAt) || !isMoment(seenAt)) return undefined;
  return {
    handle,
    family,
    consumerId,
    credentialId,
    subject,
    data,
    authenticatedAt,
    startedAt,
    renewedAt,
    seenAt,
  };
}

function unpackData(packed: unknown): SessionData | undefined {
  if (!isObject(packed)) return undefined;
  const { username, customId, groups, ip, userAgent, bound, credential } = packed;
  if (![username, customId, ip, userAgent, bound, credential].every(isOptionalText))
    return undefined;
  if (groups !== undefined && !(Array.isArray(groups) && groups.every(isText))) return undefined;
  return packed;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isText = (value: unknown): value is string => typeof value === 'string';
const isOptionalText = (value: unknown): value is string | undefined =>
  value === undefined || isText(value);
const isMoment = (value: unknown): value is number => typeof value === 'number' && value >= 0;
