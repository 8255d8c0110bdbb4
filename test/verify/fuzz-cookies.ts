import { FORGERIES } from './fuzz-forgeries.ts';
import { BASE64URL, type Loot, NAME, pair, type Recipe, replaced, token } from './fuzz-loot.ts';
import { Random } from './fuzz-random.ts';
import { SPELLINGS } from './fuzz-spellings.ts';

/**
 * Cookie headers none of which may prove anything, without end: half of them without a thought for what a cookie of
 * ours looks like, half with full knowledge of it.
 */
export function* worthless(loot: Loot, seed: number): Generator<string, never> {
  const random = new Random(seed);
  const genuine = new Set(loot.genuine.map((value) => `${NAME}=${value}`));
  for (;;) {
    const header = random.below(2) === 0 ? blind(loot, random) : informed(loot, random);
    if (!isGenuine(header, genuine, loot.chunked)) yield header;
  }
}

/** By chance a recipe may leave its genuine ingredients whole. */
function isGenuine(
  header: string,
  genuine: ReadonlySet<string>,
  chunked: Loot['chunked'],
): boolean {
  const pairs = header.split(';').map((text) => text.replace(/^[ \t]+/, ''));
  if (pairs.some((text) => genuine.has(text))) return true;
  return chunked.some((chunks) => chunks.every((chunk) => pairs.includes(chunk)));
}

const INFORMED = [...SPELLINGS, ...FORGERIES];

const blind = (loot: Loot, random: Random): string => random.pick(BLIND)(loot, random);

/** Now and then several at once: a header may hold more cookies of our name than are looked at. */
function informed(loot: Loot, random: Random): string {
  const count = random.below(8) === 0 ? 2 + random.below(9) : 1;
  const headers = Array.from({ length: count }, () => random.pick(INFORMED)(loot, random));
  return headers.join(random.pick(['; ', ';', ' ;\t']));
}

const flipBits: Recipe = (loot, random) => {
  let text = pair(token(loot, random));
  for (let flips = 1 + random.below(4); flips > 0; flips--) {
    const at = random.below(text.length);
    const other = text.charCodeAt(at) ^ (1 << random.below(8));
    text = replaced(text, at, String.fromCharCode(other));
  }
  return text;
};

const editAnywhere: Recipe = (loot, random) => {
  const value = token(loot, random);
  const at = random.below(value.length);
  const length = 1 + random.below(40);
  return pair(
    random.pick([
      () => replaced(value, at, '', length),
      () => replaced(value, at, value.slice(at, at + length), 0),
      () => replaced(value, at, random.text(length, BASE64URL), length),
      () => value.slice(0, at),
      () => value.slice(at + 1),
      () => value + random.text(length, BASE64URL),
      () => value.split('').toReversed().join(''),
    ])(),
  );
};

const BLIND: readonly Recipe[] = [
  flipBits,
  flipBits,
  editAnywhere,
  (_, random) => pair(random.octets(random.below(600))),
  (_, random) => random.octets(random.below(2000)),
  (_, random) => pair(random.text(random.below(5000), BASE64URL)),
  (_, random) => pair(random.text(random.below(400), `${BASE64URL}.`)),
  (_, random) => pair(random.text(random.below(400), '.=;, "%~$\t\\{}[]')),
  (_, random) => random.text(random.below(3000), `${NAME}=;`),
];
