import { encode } from '../e2e/support/forger.ts';
import { BASE64URL, NAME, pair, type Recipe, replaced, token } from './fuzz-loot.ts';
import type { Random } from './fuzz-random.ts';

/** Parts of one genuine token in the place of another's. */
const swapParts: Recipe = (loot, random) => {
  const [one, other] = [token(loot, random).split('.'), token(loot, random).split('.')];
  return pair(one.map((part, at) => (random.below(2) === 0 ? part : other[at])).join('.'));
};

const shuffleParts: Recipe = (loot, random) => {
  const parts = token(loot, random).split('.');
  const [from, to] = [random.below(5), random.below(5)];
  return pair(parts.with(to, parts[from] ?? '').join('.'));
};

const splice: Recipe = (loot, random) => {
  const [one, other] = [token(loot, random), token(loot, random)];
  const at = random.below(one.length);
  const from = random.below(2) === 0 ? at : random.below(other.length);
  return pair(one.slice(0, at) + other.slice(from));
};

/** The same octets in another spelling. */
const respell: Recipe = (loot, random) => {
  const parts = token(loot, random).split('.');
  const at = random.pick([0, 2, 3, 4]);
  const part = parts[at] ?? '';
  const octets = Buffer.from(part, 'base64url');
  const spelling = random.pick([
    () => `${part}=`,
    () => `${part}${'='.repeat(1 + random.below(4))}`,
    () => octets.toString('base64'),
    () => part.replaceAll('-', '+').replaceAll('_', '/'),
    () => `${part}A`,
    () => slackened(part, random),
    () => swapCase(part, random.below(part.length)),
    () => part.toUpperCase(),
    () => part.toLowerCase(),
    () => octets.toString('hex'),
    () => replaced(part, random.below(part.length), random.pick([' ', '\t', '\r', '\n', '\0']), 0),
    () => percent(part, random.below(part.length)),
  ])();
  return pair(parts.with(at, spelling).join('.'));
};

/** Another last character, which may differ in bits that mean nothing only. */
const slackened = (part: string, random: Random): string =>
  part.slice(0, -1) + random.text(1, BASE64URL);

function swapCase(text: string, at: number): string {
  const letter = text[at] ?? '';
  const upper = letter.toUpperCase();
  return replaced(text, at, letter === upper ? letter.toLowerCase() : upper);
}

const percent = (text: string, at: number): string =>
  replaced(text, at, `%${text.charCodeAt(at).toString(16).toUpperCase()}`);

/** The whole value otherwise than it was set. */
const dress: Recipe = (loot, random) => {
  const value = token(loot, random);
  return random.pick([
    () => pair(`"${value}"`),
    () => pair(`'${value}'`),
    () => pair(encodeURIComponent(value).replaceAll('.', '%2E')),
    () => pair(percent(value, random.below(value.length))),
    () => pair(` ${value}`),
    () => pair(`${value}${random.pick([' ', '\t', '\r', '\n', '\0', '.', ',', '%00', '=', '"'])}`),
    () => pair(`${random.pick(['.', ',', '=', '\0', '\xa0', '\ufeff'])}${value}`),
    () => pair(`${value},${value}`),
    () => pair(encode(value)),
    () => pair(JSON.stringify(value)),
    () => pair(`Bearer ${value}`),
    () => pair(`1~${value}`),
    () => value,
  ])();
};

const rename: Recipe = (loot, random) => {
  const names = ['Session', 'SESSION', 'session ', 'session\t', '$session', 'xsession', 'session1'];
  const more = [
    'session2',
    'session_',
    '__Host-session',
    'session[]',
    '\xa0session',
    '',
    ' =session',
  ];
  return pair(token(loot, random), random.pick([...names, ...more]));
};

/** Chunks as nobody cut them. */
const chunkGames: Recipe = (loot, random) => {
  const chunks = [...random.pick(loot.chunked)];
  const values = chunks.map((chunk) => chunk.slice(chunk.indexOf('=') + 1));
  const at = random.below(chunks.length);
  const value = token(loot, random);
  const count = 2 + random.below(8);
  return random
    .pick([
      () => chunks.toSpliced(at, 1),
      () => values.map((part, number) => pair(part, chunkName(values.length - number))),
      () => chunks.with(at, random.pick(random.pick(loot.chunked))),
      () => chunks.map((chunk) => chunk.replace(/^session=\d~/, () => `session=${count}~`)),
      () => chunks.map((chunk) => chunk.replace(/^session=\d~/, 'session=')),
      () => chunks.with(at, `${chunks[at]}A`),
      () => chunks.with(at, (chunks[at] ?? '').slice(0, -1)),
      () => [pair(values.join(''))],
      () => [pair(values.join('').slice(2))],
      // A value that needed no cutting, cut all the same.
      () => cut(value, count).map((part, number) => pair(part, chunkName(number + 1))),
      () =>
        cut(`${count}~${value}`, count).map((part, number) => pair(part, chunkName(number + 1))),
      () => [
        pair(`${count}~${value}`),
        ...Array.from({ length: count }, (_, number) => pair('', chunkName(number + 2))),
      ],
    ])()
    .join('; ');
};

const chunkName = (number: number): string => (number === 1 ? NAME : `${NAME}${number}`);

function cut(text: string, count: number): string[] {
  const size = Math.ceil(text.length / count);
  return Array.from({ length: count }, (_, at) => text.slice(at * size, (at + 1) * size));
}

/** Genuine cookies taken apart, put together and written otherwise: nothing for which one needs a secret. */
export const SPELLINGS: readonly Recipe[] = [
  swapParts,
  shuffleParts,
  splice,
  respell,
  respell,
  dress,
  rename,
  chunkGames,
];
