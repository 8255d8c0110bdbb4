import { createCipheriv, createHash, hkdfSync, randomBytes, randomUUID } from 'node:crypto';
import { KeyRing, type Purpose } from '../../../lib/keys.ts';
import type { SessionData } from '../../../lib/session.ts';
import { DataCodec, TokenCodec } from '../../../lib/token.ts';
import type { Scene } from './scene.ts';

export interface Seal {
  readonly purpose?: Purpose;
  /** The text of the protected header; default: the one that the plugin writes. */
  readonly header?: string;
  /** Default: the day of the key. */
  readonly day?: number;
  readonly cipher?: Cipher;
}

type Cipher = 'aes-128-gcm' | 'aes-192-gcm' | 'aes-256-gcm';
const KEY_LENGTHS: Record<Cipher, number> = {
  'aes-128-gcm': 16,
  'aes-192-gcm': 24,
  'aes-256-gcm': 32,
};

const DAY = 86_400_000;

/**
 * Somebody who knows the secret and seals whatever they like under the right key. That a forgery fails means something
 * only where the same forgery without its fault succeeds.
 */
export class Forger {
  readonly #secret: string;
  readonly #realm: string;

  /** `realm`: cookie name, storage and database schema, as in Config. */
  constructor(secret: string, realm: string) {
    this.#secret = secret;
    this.#realm = realm;
  }

  kid(day = Math.floor(Date.now() / DAY)): string {
    return new KeyRing([this.#secret], this.#realm, 0).sealingKid(day * DAY);
  }

  /** The protected header that the plugin writes, with other fields where given; `undefined` leaves one out. */
  header(fields: Readonly<Record<string, unknown>> = {}, purpose: Purpose = 'session'): string {
    const own = { alg: 'dir', enc: 'A256GCM', kid: this.kid(), typ: `sg-${purpose}` };
    return JSON.stringify({ ...own, ...fields });
  }

  /** The content encryption key of a day. */
  key(purpose: Purpose, kid: string, length = 32): Buffer {
    const info = `session-guard ${purpose} ${this.#realm} ${kid}`;
    return Buffer.from(hkdfSync('sha256', this.#secret, '', info, length));
  }

  /** A compact JWE. */
  seal(payload: unknown, options: Seal = {}): string {
    const { purpose = 'session', cipher = 'aes-256-gcm', day } = options;
    const kid = this.kid(day);
    const header = encode(options.header ?? this.header({ kid }, purpose));
    const key = this.key(purpose, kid, KEY_LENGTHS[cipher]);
    const iv = randomBytes(12);
    const encryption = createCipheriv(cipher, key, iv);
    encryption.setAAD(Buffer.from(header));
    const text = typeof payload === 'string' ? payload : JSON.stringify(payload);
    const ciphertext = Buffer.concat([encryption.update(text), encryption.final()]);
    return [header, '', ...[iv, ciphertext, encryption.getAuthTag()].map(encode)].join('.');
  }

  /** The id of the first session in a cookie of ours. */
  async idIn(value: string): Promise<string> {
    const codec = new TokenCodec(new KeyRing([this.#secret], this.#realm, 0), 'session');
    const token = await codec.open(value, Date.now());
    const id = token?.entries[0]?.id;
    if (id === undefined) throw new Error('the cookie does not open');
    return id;
  }

  /** Gives the row of a session of storage `kong` other data: what else has this key cannot be changed from outside. */
  async rewriteRow(scene: Scene, handle: string, data: SessionData): Promise<void> {
    const codec = new DataCodec(new KeyRing([this.#secret], this.#realm, 0), Date.now);
    const [row] = await scene.rows<{ key: Buffer }>(
      'select key from :SCHEMA.sessions where handle = $1',
      [handle],
    );
    if (row === undefined) throw new Error(`no session ${handle}`);
    const sealed = await codec.seal(row.key.toString('base64url'), data);
    await scene.rows('update :SCHEMA.sessions set data = $2 where key = $1', [row.key, sealed]);
  }
}

export const encode = (bytes: string | Uint8Array): string =>
  Buffer.from(bytes as string).toString('base64url');

export const newId = (): string => randomBytes(32).toString('base64url');

/** The key of the row of an id. */
export const keyOf = (id: string): Buffer => createHash('sha256').update(id).digest();

/** The content of a cookie of storage `cookie`: a session of `consumerId` that began just now. */
export function wholeSession(
  consumerId: string,
  content: Readonly<Record<string, unknown>> = {},
  audience = 'default',
): { v: number; s: unknown[][] } {
  const now = Date.now();
  const session = {
    h: randomUUID(),
    f: randomUUID(),
    c: consumerId,
    k: randomUUID(),
    d: {},
    a: now,
    b: now,
    r: now,
    u: now,
  };
  return { v: 1, s: [[audience, newId(), 0, { ...session, ...content }]] };
}
