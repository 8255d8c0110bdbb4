import { type LuaTable, type LuaValue, isTable, sequence } from './lua.ts';

export type HeaderLine = readonly [name: string, value: string];

/** Header lines in their order, names as sent, values as bytes (latin1). Names compare without case. */
export class Headers {
  #lines: HeaderLine[];

  constructor(lines: Iterable<HeaderLine> = []) {
    this.#lines = [...lines];
  }

  /** From the flat list that node calls raw headers. */
  static fromRaw(raw: readonly string[]): Headers {
    const lines: HeaderLine[] = [];
    for (let i = 0; i + 1 < raw.length; i += 2) lines.push([raw[i] ?? '', raw[i + 1] ?? '']);
    return new Headers(lines);
  }

  get lines(): readonly HeaderLine[] {
    return this.#lines;
  }

  all(name: string): string[] {
    const values: string[] = [];
    for (const [own, value] of this.#lines) if (sameName(own, name)) values.push(value);
    return values;
  }

  first(name: string): string | undefined {
    return this.#lines.find(([own]) => sameName(own, name))?.[1];
  }

  has(name: string): boolean {
    return this.#lines.some(([own]) => sameName(own, name));
  }

  /** Replaces every line of that name, at the place of the first; no values remove it. */
  set(name: string, values: readonly string[]): void {
    const at = this.#lines.findIndex(([own]) => sameName(own, name));
    if (at === -1) return this.add(name, values);
    this.delete(name);
    this.#lines.splice(at, 0, ...values.map((value): HeaderLine => [name, value]));
  }

  add(name: string, values: readonly string[]): void {
    for (const value of values) this.#lines.push([name, value]);
  }

  delete(name: string): void {
    this.#lines = this.#lines.filter(([own]) => !sameName(own, name));
  }

  toRaw(): string[] {
    const raw: string[] = [];
    for (const [name, value] of this.#lines) raw.push(name, value);
    return raw;
  }
}

const sameName = (a: string, b: string): boolean =>
  a.length === b.length && a.toLowerCase() === b.toLowerCase();

/**
 * A PDK header value as lines (pdk/private/checks.lua, normalize_multi_header): "" becomes one space, which
 * leaves as an empty value; numbers and booleans become text; CR, LF and NUL are percent-encoded by nginx.
 */
export function headerValues(value: LuaValue): string[] {
  const all = isTable(value) ? sequence(value) : [value];
  return all.map((one) => encodeControls(scalar(one)) || ' ');
}

/** Lua's tostring of what validate_header lets through. */
const scalar = (value: LuaValue): string => (isTable(value) ? '' : String(value));

const encodeControls = (value: string): string =>
  // oxlint-disable-next-line no-control-regex -- these three are what nginx encodes
  value.replaceAll(/[\r\n\0]/g, (char) => encodeURIComponent(char));

/** `{ name = value or { value, … } }` with lower-case names, of the first `max` lines (ngx.req.get_headers). */
export function headerTable(headers: Headers, max: number): LuaTable {
  return grouped(headers.lines.slice(0, max).map(([name, value]) => [name.toLowerCase(), value]));
}

/** A value that stands once as itself, one that stands repeatedly as a sequence. */
export function grouped(pairs: readonly (readonly [string, LuaValue])[]): LuaTable {
  const table = new Map<string, LuaValue>();
  for (const [key, value] of pairs) {
    const earlier = table.get(key);
    if (earlier === undefined) table.set(key, value);
    else if (Array.isArray(earlier)) earlier.push(value);
    else table.set(key, [earlier, value]);
  }
  return table;
}

/** A Content-Type with nginx's `charset UTF-8`, where it is one of charset_types and names none. */
export function withCharset(type: string): string {
  const isText =
    /^text\/(html|xml|plain|vnd\.wap\.wml)$|^application\/(javascript|rss\+xml)$/i.test(type);
  return isText ? `${type}; charset=UTF-8` : type;
}
