import { randomBytes } from 'node:crypto';
import { KeyRing } from '../../lib/keys.ts';
import { TokenCodec } from '../../lib/token.ts';
import { encode, Forger, newId } from '../e2e/support/forger.ts';
import { Random } from './fuzz-random.ts';
import { type Figure, main, type Program, type Settings } from './program.ts';

/** Below this a difference is noise (the bound of dudect, Reparaz and others 2017). */
const BOUND = 4.5;
const REALM = 'session kong session_guard';
/** Tokens of each class: another one each time, so that nothing about a single one counts. */
const SPECIMENS = 256;
/** Slower samples were interrupted by something else; the same limit for both classes. */
const KEPT = 0.9;

/** Makes a worthless token of a good one. */
type Spoil = (token: string) => string;

/** Other bits in one octet of a part; the spelling stays canonical. */
const spoilt =
  (part: 'ciphertext' | 'tag', at: 0 | -1): Spoil =>
  (token) => {
    const parts = token.split('.');
    const number = part === 'tag' ? 4 : 3;
    const octets = Buffer.from(parts[number] ?? '', 'base64url');
    const position = at === 0 ? 0 : octets.length - 1;
    octets.writeUInt8(octets.readUInt8(position) ^ 0x55, position);
    return parts.with(number, encode(octets)).join('.');
  };

const PAIRS: readonly (readonly [name: string, one: Spoil, other: Spoil])[] = [
  ['first or last octet of the ciphertext', spoilt('ciphertext', 0), spoilt('ciphertext', -1)],
  ['first or last octet of the tag', spoilt('tag', 0), spoilt('tag', -1)],
  ['ciphertext or tag', spoilt('ciphertext', 0), spoilt('tag', 0)],
];

/** A difference that is there: without decryption it is faster. */
const CONTROL = [(token: string) => `A${token.slice(1)}`, spoilt('tag', 0)] as const;

export const program: Program = {
  name: 'timing',
  claim: 'How long a refusal takes does not tell where a token is wrong.',
  counts: 'samples of each class',
  defaultCount: 50_000,
  async run({ count, seed }: Settings): Promise<Figure[]> {
    const random = new Random(seed);
    const figures: Figure[] = [];
    for (const [name, one, other] of PAIRS) {
      const t = Math.abs(await compare(one, other, count, random));
      figures.push({ name: `|t| of ${name}`, value: Number(t.toFixed(2)), atMost: BOUND });
    }
    const control = Math.abs(await compare(...CONTROL, Math.min(count, 2000), random));
    const value = Number(control.toFixed(2));
    return [...figures, { name: '|t| of a difference that is there', value, atLeast: BOUND }];
  },
};

/** Welch's t of the times in which the two classes are refused, taken in turns at random. */
async function compare(one: Spoil, other: Spoil, count: number, random: Random): Promise<number> {
  const secret = randomBytes(48).toString('base64');
  const forger = new Forger(secret, REALM);
  const codec = new TokenCodec(new KeyRing([secret], REALM, 86_400_000), 'session');
  const good = Array.from({ length: SPECIMENS }, () =>
    forger.seal({ v: 1, s: [['default', newId(), 0]] }),
  );
  const classes = [good.map(one), good.map(other)] as const;
  const times: [number[], number[]] = [[], []];
  const now = Date.now();
  for (let sample = -count / 10; sample < 2 * count; sample++) {
    const which = random.below(2) === 0 ? 0 : 1;
    const token = random.pick(classes[which]);
    const start = process.hrtime.bigint();
    const opened = await codec.open(token, now);
    const time = Number(process.hrtime.bigint() - start);
    if (opened !== undefined) throw new Error('a spoilt token was accepted');
    if (sample >= 0) times[which].push(time); // those before warm up
  }
  return welch(...cropped(times));
}

function cropped([one, other]: readonly [number[], number[]]): [number[], number[]] {
  const all = [...one, ...other].toSorted((a, b) => a - b);
  const limit = all[Math.floor(all.length * KEPT)] ?? Infinity;
  const keep = (times: number[]) => times.filter((time) => time <= limit);
  return [keep(one), keep(other)];
}

function welch(one: readonly number[], other: readonly number[]): number {
  const [a, b] = [momentsOf(one), momentsOf(other)];
  return (a.mean - b.mean) / Math.sqrt(a.variance / one.length + b.variance / other.length);
}

function momentsOf(values: readonly number[]): { mean: number; variance: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, variance: squares / (values.length - 1) };
}

await main(import.meta.url, program);
