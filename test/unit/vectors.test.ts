import assert from 'node:assert/strict';
import { createHash, hkdfSync, webcrypto } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { compactDecrypt } from 'jose';
import { KeyRing, type Purpose } from '../../lib/keys.ts';
import { type Entry, TokenCodec } from '../../lib/token.ts';

// Known answers for the primitives that tokens are made of, so that another version or another library of the same
// name cannot quietly do something else. Each file says where its answers come from.

interface Vector {
  readonly comment: string;
  readonly result: 'valid' | 'invalid';
}

const read = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../vectors/${name}`, import.meta.url), 'utf8'));

const hex = (text: string): Buffer => Buffer.from(text, 'hex');

/** A test for each vector: what `open` yields is compared where it is valid, and nothing may come of it elsewhere. */
function check<V extends Vector, Result>(
  vectors: readonly V[],
  open: (vector: V) => Promise<Result>,
  compare: (result: Result, vector: V) => void,
): void {
  assert.ok(vectors.some(({ result }) => result === 'valid'));
  assert.ok(vectors.some(({ result }) => result === 'invalid'));
  for (const vector of vectors) {
    test(`${vector.comment}: ${vector.result}`, async () => {
      if (vector.result === 'valid') compare(await open(vector), vector);
      else await assert.rejects(open(vector));
    });
  }
}

interface HkdfVector extends Vector {
  readonly ikm: string;
  readonly salt: string;
  readonly info: string;
  readonly size: number;
  readonly okm: string | null;
  readonly sha256OfOkm?: string;
}

describe('HKDF-SHA256', () => {
  const { tests } = read('hkdf-sha256.json') as { tests: HkdfVector[] };
  check(
    tests,
    async ({ ikm, salt, info, size }) =>
      Buffer.from(hkdfSync('sha256', hex(ikm), hex(salt), hex(info), size)),
    (derived, { okm, sha256OfOkm }) => {
      if (okm !== null) assert.equal(derived.toString('hex'), okm);
      else assert.equal(createHash('sha256').update(derived).digest('hex'), sha256OfOkm);
    },
  );
});

interface GcmVector extends Vector {
  readonly key: string;
  readonly iv: string;
  readonly aad: string;
  readonly msg: string;
  readonly ct: string;
  readonly tag: string;
}

describe('AES-256-GCM', () => {
  const algorithm = ({ iv, aad }: GcmVector) => ({
    name: 'AES-GCM',
    iv: hex(iv),
    additionalData: hex(aad),
    tagLength: 128,
  });
  const keyOf = ({ key }: GcmVector) =>
    webcrypto.subtle.importKey('raw', hex(key), 'AES-GCM', false, ['encrypt', 'decrypt']);
  const { tests } = read('aes-256-gcm.json') as { tests: GcmVector[] };
  check(
    tests,
    async (vector) => {
      const sealed = hex(vector.ct + vector.tag);
      return webcrypto.subtle.decrypt(algorithm(vector), await keyOf(vector), sealed);
    },
    (opened, { msg }) => assert.equal(Buffer.from(opened).toString('hex'), msg),
  );
});

interface JweVector extends Vector {
  readonly jwe: string;
  readonly msg?: string;
}

describe('compact JWE with dir and A256GCM', () => {
  const { key, tests } = read('jwe-dir-a256gcm.json') as { key: string; tests: JweVector[] };
  check(
    tests,
    ({ jwe }) =>
      compactDecrypt(jwe, Buffer.from(key, 'base64url'), {
        keyManagementAlgorithms: ['dir'],
        contentEncryptionAlgorithms: ['A256GCM'],
      }),
    ({ plaintext }, { msg }) => assert.equal(Buffer.from(plaintext).toString(), msg),
  );
});

interface TokenVector extends Vector {
  readonly purpose: Purpose;
  readonly realm: string;
  readonly token: string;
  readonly entries?: readonly Entry[];
}

interface TokenFile {
  readonly secret: string;
  readonly now: number;
  readonly kid: string;
  readonly tests: readonly TokenVector[];
}

describe('tokens of ours', () => {
  const { secret, now, kid, tests } = read('tokens.json') as TokenFile;
  check(
    tests,
    async ({ purpose, realm, token }) => {
      const ring = new KeyRing([secret], realm, 86_400_000);
      assert.equal(ring.sealingKid(now), kid);
      const opened = await new TokenCodec(ring, purpose).open(token, now);
      if (opened === undefined) throw new Error('does not open');
      return opened;
    },
    // As JSON, which has no members that are undefined.
    (opened, { entries }) => assert.deepEqual(JSON.parse(JSON.stringify(opened.entries)), entries),
  );
});
