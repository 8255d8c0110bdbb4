import { randomBytes } from 'node:crypto';

/** What must never be seen again, by what it is. */
export type Canaries = Map<string, string>;

/** Shorter pieces of a cookie might occur by chance. */
const SHORTEST = 16;

/** Something that looks like nothing else. */
export const newCanary = (): string => randomBytes(30).toString('base64url');

/** The parts of a token that nobody else may have; its header is no secret. */
export function addCookie(canaries: Canaries, value: string): void {
  const number = canaries.size;
  for (const [index, part] of value.split('.').slice(2).entries()) {
    if (part.length >= SHORTEST) canaries.set(`cookie ${number}.${index}`, part);
  }
}

/** How a value may be written in a log: as it is, and as base64, base64url, hexadecimal, percent-encoded and in JSON. */
export function spellingsOf(value: string): string[] {
  const octets = Buffer.from(value);
  const hex = octets.toString('hex');
  const all = [
    value,
    hex,
    hex.toUpperCase(),
    encodeURIComponent(value),
    JSON.stringify(value).slice(1, -1),
    ...[0, 1, 2].flatMap((shift) => shifted(octets, shift)),
  ];
  return [...new Set(all)];
}

/** Its base64 inside a longer text, where it may begin at any of three places; without what its neighbours change. */
function shifted(octets: Buffer, shift: number): string[] {
  const text = Buffer.concat([Buffer.alloc(shift), octets]).toString('base64url');
  const whole = text.slice(
    shift === 0 ? 0 : shift + 1,
    Math.floor(((octets.length + shift) * 4) / 3),
  );
  return [whole, whole.replaceAll('-', '+').replaceAll('_', '/')];
}

/** Where a canary was seen: `what it is in name of the output`. */
export function sightings(canaries: Canaries, outputs: ReadonlyMap<string, string>): string[] {
  const found: string[] = [];
  for (const [what, value] of canaries) {
    const spellings = spellingsOf(value);
    for (const [output, text] of outputs) {
      if (spellings.some((spelling) => text.includes(spelling))) found.push(`${what} in ${output}`);
    }
  }
  return found;
}
