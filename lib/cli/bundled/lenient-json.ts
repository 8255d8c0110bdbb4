/** A place in the input, never its text: it may hold a secret. */
export class SyntaxProblem extends Error {
  override readonly name = 'SyntaxProblem';

  constructor(expected: string, text: string, at: number) {
    const before = text.slice(0, at).split('\n');
    super(`line ${before.length}, column ${(before.at(-1)?.length ?? 0) + 1}: ${expected}`);
  }
}

const MAX_DEPTH = 100;

/** Quotes as programs write them, and as web pages do, each with what ends the string it begins. */
const QUOTES: Readonly<Record<string, RegExp>> = {
  '"': /["\u201d]/,
  '\u201c': /["\u201d]/,
  "'": /['\u2019]/,
  '\u2018': /['\u2019]/,
};

/** Space, and lines of kong.conf that are a comment. */
const BLANK = /(?:(?<=^|\n)[ \t]*#[^\n]*|\s)*/y;
const WORD = /[^\s{}[\]:=,"'\u2018-\u201d]+/y;
const ESCAPES: Readonly<Record<string, string>> = {
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
};

/**
 * Reads JSON as people print it: commas between members may be missing or one too many, `=` may stand for `:`,
 * strings may be in single or typographic quotes, and words need none. Objects have no prototype. What follows the
 * value is ignored where `endsAnywhere`, as in a file of settings.
 *
 * @throws SyntaxProblem
 */
export function parseLenientJson(text: string, from = 0, endsAnywhere = false): unknown {
  const reader = new Reader(text, from);
  const value = reader.value(0);
  if (!endsAnywhere) reader.expectEnd();
  return value;
}

class Reader {
  readonly #text: string;
  #at: number;

  constructor(text: string, from: number) {
    this.#text = text;
    this.#at = from;
  }

  value(depth: number): unknown {
    if (depth > MAX_DEPTH) throw this.#problem(`nested more than ${MAX_DEPTH} deep`);
    const first = this.#peek();
    if (first === '{') return this.#object(depth);
    if (first === '[') return this.#array(depth);
    if (first in QUOTES) return this.#string();
    return wordValue(this.#word('expected a value'));
  }

  expectEnd(): void {
    if (this.#peek() !== '') throw this.#problem('expected nothing more');
  }

  #object(depth: number): object {
    const object = Object.create(null) as Record<string, unknown>;
    this.#at += 1;
    for (;;) {
      this.#skipCommas();
      const first = this.#peek();
      if (first === '}') break;
      if (first === '') throw this.#problem('expected } before the end');
      const name = first in QUOTES ? this.#string() : this.#word('expected a field name or }');
      if (!/[:=]/.test(this.#peek() || ' ')) throw this.#problem('expected : after a field name');
      this.#at += 1;
      object[name] = this.value(depth + 1);
    }
    this.#at += 1;
    return object;
  }

  #array(depth: number): unknown[] {
    const items: unknown[] = [];
    this.#at += 1;
    for (;;) {
      this.#skipCommas();
      const first = this.#peek();
      if (first === ']') break;
      if (first === '') throw this.#problem('expected ] before the end');
      items.push(this.value(depth + 1));
    }
    this.#at += 1;
    return items;
  }

  #string(): string {
    const begin = this.#at;
    const end = QUOTES[this.#text[begin] ?? ''] ?? /"/;
    let value = '';
    for (this.#at += 1; this.#at < this.#text.length; this.#at += 1) {
      const character = this.#text[this.#at] ?? '';
      if (end.test(character)) {
        this.#at += 1;
        return value;
      }
      value += character === '\\' ? this.#escape() : character;
    }
    this.#at = begin;
    throw this.#problem('this string does not end');
  }

  #escape(): string {
    this.#at += 1;
    const character = this.#text[this.#at] ?? '';
    const digits = /^u([0-9a-f]{4})/i.exec(this.#text.slice(this.#at, this.#at + 5))?.[1];
    if (digits === undefined) return ESCAPES[character] ?? character;
    this.#at += 4;
    return String.fromCharCode(Number.parseInt(digits, 16));
  }

  #word(expected: string): string {
    WORD.lastIndex = this.#at;
    const [word] = WORD.exec(this.#text) ?? [];
    if (word === undefined) throw this.#problem(expected);
    this.#at += word.length;
    return word;
  }

  #skipCommas(): void {
    while (this.#peek() === ',') this.#at += 1;
  }

  /** The next character that is not blank; '' at the end. */
  #peek(): string {
    BLANK.lastIndex = this.#at;
    this.#at += BLANK.exec(this.#text)?.[0].length ?? 0;
    return this.#text[this.#at] ?? '';
  }

  #problem(expected: string): SyntaxProblem {
    return new SyntaxProblem(expected, this.#text, this.#at);
  }
}

function wordValue(word: string): unknown {
  if (word === 'true' || word === 'false') return word === 'true';
  if (word === 'null') return null;
  return /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(word) ? Number(word) : word;
}
