import { encode, newId, wholeSession } from '../e2e/support/forger.ts';
import { strangeHeaders } from './strange-headers.ts';
import { BASE64URL, type Loot, pair, type Recipe, token } from './fuzz-loot.ts';

/** What a session cookie of this storage says, of a session that would be alive. */
const payloadOf = ({ storage, consumerId }: Loot): { v: number; s: unknown[][] } =>
  storage === 'cookie' ? wholeSession(consumerId) : { v: 1, s: [['default', newId(), 0]] };

const otherKey: Recipe = (loot, random) => {
  const { outsider, strangers, forger } = loot;
  return random.pick([
    () => pair(outsider.seal(payloadOf(loot))),
    // The kid of the right key over a token of another one.
    () => pair(outsider.seal(payloadOf(loot), { header: forger.header() })),
    () => pair(random.pick(strangers).seal(payloadOf(loot))),
    () => pair(random.pick(strangers).seal(payloadOf(loot), { header: forger.header() })),
    () => pair(forger.seal(payloadOf(loot), { purpose: random.pick(['remember', 'data']) })),
    () => {
      const purpose = random.pick(['remember', 'data'] as const);
      return pair(forger.seal(payloadOf(loot), { purpose, header: forger.header() }));
    },
  ])();
};

/** The right key of a day on which no living token was sealed, and names of keys that are none. */
const otherKid: Recipe = (loot, random) => {
  const { forger } = loot;
  const [id = '', day = ''] = forger.kid().split('.');
  const today = Number(day);
  const far = random.pick([
    today + 2 + random.below(10_000),
    random.below(today - 401),
    0,
    999_999,
  ]);
  const kids = [
    `${id}.0${day}`,
    `${id}.+${day}`,
    `${id}.${day} `,
    `${id}.${day}.0`,
    `${id}.-1`,
    `${id}.1e5`,
    `${id}.`,
    id,
    `.${day}`,
    `${id.toLowerCase()}.${day}`,
    `${random.text(11, BASE64URL)}.${day}`,
    `${id}.${today + 1 + random.below(3)}`, // the key of another day, under today's
    '__proto__',
    '../../etc/passwd',
    "' or 1=1 --",
    'x'.repeat(random.below(3000)),
  ];
  return pair(
    random.below(3) === 0
      ? forger.seal(payloadOf(loot), { day: far })
      : forger.seal(payloadOf(loot), { header: forger.header({ kid: random.pick(kids) }) }),
  );
};

/** A tag of every length but its own (CVE-2025-54887: a tag of four octets is forged by trying). */
const cutTag: Recipe = (loot, random) => {
  const genuine = random.below(2) === 0;
  const value = genuine ? token(loot, random) : loot.forger.seal(payloadOf(loot));
  const parts = value.split('.');
  const tag = Buffer.from(parts[4] ?? '', 'base64url');
  const length = random.below(17);
  const other = Buffer.from(tag.subarray(0, length));
  if (length === 16) other.writeUInt8(other.readUInt8(0) ^ (1 << random.below(8)), 0);
  const others = [
    other,
    Buffer.concat([tag, Buffer.alloc(1 + random.below(16))]),
    Buffer.alloc(16),
  ];
  return pair(parts.with(4, encode(random.pick(others))).join('.'));
};

const strangeHeader: Recipe = (loot, random) => {
  const header = random.pick(strangeHeaders(loot.forger.header()));
  const [, ...others] = token(loot, random).split('.');
  return random.pick([
    () => pair(loot.forger.seal(payloadOf(loot), { header })),
    // Before a genuine ciphertext, for which no key at all is needed.
    () => pair([encode(header), ...others].join('.')),
  ])();
};

/** Sealed under the right key, and nothing that we would have sealed. */
const strangePayload: Recipe = (loot, random) => {
  const whole = payloadOf(loot);
  const [entry = []] = whole.s;
  const [audience, id, generation, content] = entry;
  const contents: unknown[] = [
    '',
    'null',
    '[]',
    '{"v":1,"s":[]}',
    '['.repeat(1500),
    { ...whole, v: 2 },
    { v: 1, s: Array.from({ length: 17 }, () => entry) },
    { v: 1, s: [[audience, `${String(id)}A`, generation, content]] },
    { v: 1, s: [[audience, String(id).replace(/./, "'"), generation, content]] },
    { v: 1, s: [[audience, id, -1 - random.below(9), content]] },
    { v: 1, s: [[audience, id, 2 ** 53 + random.below(9), content]] },
    { v: 1, s: [[audience, id, generation, 'content']] },
    { v: 1, s: [[audience, id, generation, { ...(content as object), c: "' or 1=1 --", h: 1 }]] },
    { v: 1, s: [[7, id, generation, content]] },
    { v: 1, s: [[audience, id, generation, content], null] },
    random.octets(random.below(200)),
  ];
  return pair(loot.forger.seal(random.pick(contents)));
};

/** Tokens of somebody who has the secret, or only its form, each with a fault. */
export const FORGERIES: readonly Recipe[] = [
  otherKey,
  otherKid,
  cutTag,
  strangeHeader,
  strangeHeader,
  strangePayload,
];
