/** Lua's character classes as tests of one byte; the upper-case letter is the complement. */
const CLASSES: { readonly [letter: string]: RegExp } = {
  a: /[A-Za-z]/,
  // oxlint-disable-next-line no-control-regex -- they are what %c is
  c: /[\x00-\x1f\x7f]/,
  d: /[0-9]/,
  l: /[a-z]/,
  p: /[!-/:-@[-`{-~]/,
  s: /[\t-\r ]/,
  u: /[A-Z]/,
  w: /[A-Za-z0-9]/,
  x: /[0-9A-Fa-f]/,
  // oxlint-disable-next-line no-control-regex -- it is what %z is
  z: /\x00/,
};

/** Lua's quantifiers as those of JavaScript; `-` is the lazy one. */
const QUANTIFIERS: { readonly [lua: string]: string } = { '*': '*', '+': '+', '?': '?', '-': '*?' };

const BYTES = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte));

const compiled = new Map<string, RegExp>();

/**
 * Whether `value` matches a Lua pattern as `string.match` does: byte by byte, so a letter outside ASCII is
 * two or more bytes of no class.
 *
 * @throws TypeError for `%b`, `%f`, back references and unfinished patterns.
 */
export function luaMatches(value: string, pattern: string): boolean {
  let expression = compiled.get(pattern);
  if (expression === undefined) {
    expression = translate(bytes(pattern));
    compiled.set(pattern, expression);
  }
  return expression.test(bytes(value));
}

function bytes(text: string): string {
  return Buffer.from(text).toString('latin1');
}

function translate(pattern: string): RegExp {
  let source = pattern.startsWith('^') ? '^' : '';
  let at = source.length;
  while (at < pattern.length) {
    const character = pattern.charAt(at);
    if (
      character === '(' ||
      character === ')' ||
      (character === '$' && at === pattern.length - 1)
    ) {
      source += character;
      at += 1;
      continue;
    }
    const end = endOfItem(pattern, at);
    const quantifier = QUANTIFIERS[pattern.charAt(end)] ?? '';
    source += byteSet(membersOf(pattern.slice(at, end))) + quantifier;
    at = quantifier === '' ? end : end + 1;
  }
  return new RegExp(source);
}

/** The end of the single-character item that begins at `at`: `x`, `%x`, `.` or a set. */
function endOfItem(pattern: string, at: number): number {
  if (pattern.charAt(at) === '%') {
    if (/^[bf1-9]?$/.test(pattern.charAt(at + 1))) throw unsupported(pattern);
    return at + 2;
  }
  if (pattern.charAt(at) !== '[') return at + 1;
  let end = pattern.charAt(at + 1) === '^' ? at + 2 : at + 1;
  do {
    end += pattern.charAt(end) === '%' ? 2 : 1;
    if (end >= pattern.length) throw unsupported(pattern);
  } while (pattern.charAt(end) !== ']');
  return end + 1;
}

function membersOf(item: string): string[] {
  if (item === '.') return BYTES;
  if (item.startsWith('%')) return membersOfEscape(item.charAt(1));
  if (!item.startsWith('[') || item === '[') return [item];
  const negated = item.startsWith('[^');
  const inside = item.slice(negated ? 2 : 1, -1);
  const listed = new Set<string>();
  for (let at = 0; at < inside.length;) {
    const [members, length] = firstOfSet(inside.slice(at));
    for (const member of members) listed.add(member);
    at += length;
  }
  return BYTES.filter((byte) => listed.has(byte) !== negated);
}

/** The first element of the inside of a set, and how many characters it takes: `%w`, `a-z` or `a`. */
function firstOfSet(inside: string): [members: string[], length: number] {
  const first = inside.charAt(0);
  if (first === '%') return [membersOfEscape(inside.charAt(1)), 2];
  const last = inside.charAt(2);
  if (inside.charAt(1) !== '-' || last === '') return [[first], 1];
  return [BYTES.filter((byte) => byte >= first && byte <= last), 3];
}

function membersOfEscape(letter: string): string[] {
  const test = CLASSES[letter.toLowerCase()];
  if (test === undefined) return [letter];
  const complement = letter !== letter.toLowerCase();
  return BYTES.filter((byte) => test.test(byte) !== complement);
}

function byteSet(members: readonly string[]): string {
  const codes = members.map((member) => `\\x${member.charCodeAt(0).toString(16).padStart(2, '0')}`);
  return `[${codes.join('')}]`;
}

function unsupported(pattern: string): TypeError {
  return new TypeError(`not a Lua pattern this matcher knows: ${pattern}`);
}
