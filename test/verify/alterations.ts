import { createHash } from 'node:crypto';
import { KeyRing, type Purpose } from '../../lib/keys.ts';
import { TokenCodec } from '../../lib/token.ts';
import { encode, Forger, newId, wholeSession } from '../e2e/support/forger.ts';
import { alice } from '../support/visitor.ts';
import { type Figure, main, type Program, type Settings } from './program.ts';
import { strangeHeaders } from './strange-headers.ts';

const BASE64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const DAY = 86_400_000;
const TAG_OCTETS = 16;

/** The kinds of tokens that browsers hold. */
const KINDS = [
  { purpose: 'session', realm: 'session kong session_guard', isWhole: false },
  { purpose: 'session', realm: 'session cookie ', isWhole: true },
  { purpose: 'remember', realm: 'remember kong session_guard', isWhole: false },
] as const;

type Kind = (typeof KINDS)[number];

interface Specimen {
  readonly codec: TokenCodec;
  readonly forger: Forger;
  readonly purpose: Purpose;
  readonly payload: object;
  readonly token: string;
}

/** Everything that differs from a good token in one way. Spellings of the same octets are among them. */
const ALTERATIONS: Readonly<Record<string, (specimen: Specimen) => Iterable<string>>> = {
  'with one bit of a character flipped': flippedCharacters,
  'with one bit of an octet flipped': flippedOctets,
  'with another last character of a part': lastCharacters,
  'with a tag of another length': tagLengths,
  'under another header, sealed with the right key': sealedHeaders,
  'under another header': borrowedHeaders,
};

export const program: Program = {
  name: 'alterations',
  claim: 'A token that is altered in any one way is refused.',
  counts: 'tokens of each kind',
  defaultCount: 20,
  async run({ count, seed }: Settings): Promise<Figure[]> {
    let opened = 0;
    const tallies = new Map(
      Object.keys(ALTERATIONS).map((name) => [name, { tried: 0, accepted: 0 }]),
    );
    for (let number = 0; number < count; number++) {
      for (const kind of KINDS) {
        const specimen = specimenOf(kind, `${seed} ${number}`);
        opened += Number(await opens(specimen, specimen.token));
        for (const [name, tally] of tallies) await tryAll(specimen, name, tally);
      }
    }
    return [
      { name: 'good tokens accepted', value: opened, atLeast: count * KINDS.length },
      ...[...tallies].flatMap(([name, { tried, accepted }]): Figure[] => [
        { name: `tried ${name}`, value: tried, atLeast: count * KINDS.length * 32 },
        { name: `accepted ${name}`, value: accepted, atMost: 0 },
      ]),
    ];
  },
};

function specimenOf({ purpose, realm, isWhole }: Kind, label: string): Specimen {
  const secret = createHash('sha512').update(label).digest('base64');
  const forger = new Forger(secret, realm);
  const payload = isWhole ? wholeSession(alice.id) : { v: 1, s: [['default', newId(), 0]] };
  const codec = new TokenCodec(new KeyRing([secret], realm, DAY), purpose);
  return { codec, forger, purpose, payload, token: forger.seal(payload, { purpose }) };
}

const opens = async ({ codec }: Specimen, value: string): Promise<boolean> =>
  (await codec.open(value, Date.now())) !== undefined;

async function tryAll(
  specimen: Specimen,
  name: string,
  tally: { tried: number; accepted: number },
): Promise<void> {
  for (const value of new Set(ALTERATIONS[name]?.(specimen))) {
    if (value === specimen.token) continue;
    tally.tried += 1;
    tally.accepted += Number(await opens(specimen, value));
  }
}

function* flippedCharacters({ token }: Specimen): Generator<string> {
  for (let at = 0; at < token.length; at++) {
    for (let bit = 0; bit < 8; bit++) {
      const other = String.fromCharCode(token.charCodeAt(at) ^ (1 << bit));
      yield token.slice(0, at) + other + token.slice(at + 1);
    }
  }
}

function* flippedOctets({ token }: Specimen): Generator<string> {
  const parts = token.split('.');
  for (const [number, part] of parts.entries()) {
    const octets = Buffer.from(part, 'base64url');
    for (let bit = 0; bit < octets.length * 8; bit++) {
      const other = Buffer.from(octets);
      other.writeUInt8(other.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      yield parts.with(number, encode(other)).join('.');
    }
  }
}

function* lastCharacters({ token }: Specimen): Generator<string> {
  const parts = token.split('.');
  for (const [number, part] of parts.entries()) {
    for (const letter of BASE64URL) {
      yield parts.with(number, part.slice(0, -1) + letter).join('.');
      yield parts.with(number, part + letter).join('.');
    }
  }
}

/** Shorter and longer than 128 bits; shortened ones are what a lenient library takes (CVE-2025-54887). */
function* tagLengths({ token }: Specimen): Generator<string> {
  const parts = token.split('.');
  const tag = Buffer.from(parts[4] ?? '', 'base64url');
  for (let length = 0; length <= 2 * TAG_OCTETS; length++) {
    const others = [tag.subarray(0, length), Buffer.alloc(length), Buffer.alloc(length, tag)];
    for (const other of others) yield parts.with(4, encode(other)).join('.');
  }
}

function* sealedHeaders({ forger, purpose, payload }: Specimen): Generator<string> {
  for (const header of strangeHeaders(forger.header({}, purpose))) {
    yield forger.seal(payload, { purpose, header });
  }
}

function* borrowedHeaders({ forger, purpose, token }: Specimen): Generator<string> {
  const [, ...others] = token.split('.');
  for (const header of strangeHeaders(forger.header({}, purpose))) {
    yield [encode(header), ...others].join('.');
  }
}

await main(import.meta.url, program);
