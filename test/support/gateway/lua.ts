import type { Json } from './entities.ts';

/**
 * A Lua value as Kong's PDK has it. Strings are bytes, one UTF-16 unit (0–255) each (node's `latin1`);
 * `undefined` is nil and `null` is cjson.null, which is not nil.
 */
export type LuaValue = undefined | null | boolean | number | string | LuaTable;

/** A sequence, in which `undefined` is a hole, or anything else. */
export type LuaTable = LuaValue[] | LuaMap;

export type LuaKey = string | number | boolean;

export type LuaMap = Map<LuaKey, LuaValue>;

/** What Lua's `error` raises: Kong answers the request 500 and logs the message. */
export class LuaError extends Error {
  override readonly name = 'LuaError';
}

export const bytesOf = (text: string): string => Buffer.from(text, 'utf8').toString('latin1');

export const isTable = (value: LuaValue): value is LuaTable =>
  typeof value === 'object' && value !== null;

/** `table[key]`, with Lua's counting from 1; nil for what is no table. */
export function index(value: LuaValue, key: LuaKey): LuaValue {
  if (!isTable(value)) return undefined;
  if (!Array.isArray(value)) return value.get(key);
  return typeof key === 'number' ? value[key - 1] : undefined;
}

/** Lua's name of the type, as it stands in error messages. */
export function typeName(value: LuaValue): string {
  if (value === undefined) return 'nil';
  if (value === null) return 'userdata';
  return isTable(value) ? 'table' : typeof value;
}

/** `ipairs`: up to the first nil. */
export function sequence(table: LuaTable): LuaValue[] {
  if (!Array.isArray(table)) return [];
  const end = table.indexOf(undefined);
  return end === -1 ? table : table.slice(0, end);
}

export function entries(table: LuaTable): [LuaKey, LuaValue][] {
  const all: [LuaKey, LuaValue][] = Array.isArray(table)
    ? table.map((value, position) => [position + 1, value])
    : [...table];
  return all.filter(([, value]) => value !== undefined);
}

/** JSON text's value as cjson decodes it; `nulls: 'drop'` is how the database layer hands out entities. */
export function fromJson(json: Json, nulls: 'keep' | 'drop' = 'keep'): LuaValue {
  if (json === null) return nulls === 'keep' ? null : undefined;
  if (typeof json === 'string') return bytesOf(json);
  if (typeof json !== 'object') return json;
  if (Array.isArray(json)) return json.map((element) => fromJson(element, nulls));
  const members = Object.entries(json).map(([key, value]): [LuaKey, LuaValue] => [
    bytesOf(key),
    fromJson(value, nulls),
  ]);
  return new Map(members.filter(([, value]) => value !== undefined));
}

/** `cjson.encode`: an empty table is `{}`, `/` is escaped, strings go out byte for byte. */
export function encodeJson(value: LuaValue): string {
  return escapeSlashes(JSON.stringify(plain(value)));
}

/** A configuration as Kong writes it for StartInstance: empty arrays stay arrays (Kong's plugin_servers/plugin.lua). */
export function encodeConfig(config: { readonly [field: string]: Json | undefined }): string {
  return bytesOf(escapeSlashes(JSON.stringify(config)));
}

// `/` can stand in JSON only within strings.
const escapeSlashes = (json: string): string => json.replaceAll('/', '\\/');

function plain(value: LuaValue): unknown {
  if (!isTable(value)) return value ?? null;
  if (Array.isArray(value) && value.length > 0) return value.map(plain);
  // A member named __proto__ must stay a member: JSON.stringify reads own properties of any object.
  const object: { [key: string]: unknown } = Object.create(null) as { [key: string]: unknown };
  for (const [key, member] of entries(value)) object[String(key)] = plain(member);
  return object;
}

/**
 * `unpack(arguments)`: nil among them shortens the list, because Lua's length operator stops at a border, and
 * which border depends on how LuaJIT grew the table.
 */
export function unpack(values: readonly LuaValue[]): LuaValue[] {
  return values.slice(0, luaLength(values));
}

/** `#t` of a table that was filled from 1 upwards, after lj_tab.c (rehashtab, lj_tab_len). */
export function luaLength(values: readonly LuaValue[]): number {
  const at = (key: number): boolean => key > 0 && values[key - 1] !== undefined;
  let slots = 0; // array slots 0 … slots-1; a key beyond them lies in the hash part
  let hashed = false;
  for (let key = 1; key <= values.length; key++) {
    if (key < slots) continue;
    const present = Array.from({ length: key - 1 }, (_, i) => i + 1).filter(at);
    slots = arraySlots([...present, key]);
    hashed = key >= slots;
  }
  let high = Math.max(0, slots - 1);
  if (high > 0 && !at(high)) return border(at, high);
  if (hashed) while (at(high + 1)) high++;
  return high;
}

function border(at: (key: number) => boolean, end: number): number {
  let [low, high] = [0, end];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (at(middle)) low = middle;
    else high = middle;
  }
  return low;
}

/** Grows the array part while more than half of it would be used (lj_tab.c: bestasize). */
function arraySlots(keys: readonly number[]): number {
  let slots = 0;
  let used = 0;
  for (let bits = 0; 2 * keys.length > 2 ** bits && used !== keys.length; bits++) {
    const [low, high] = [bits === 0 ? 0 : 2 ** bits, 2 ** (bits + 1)];
    const inBin = keys.filter((key) => key > low && key <= high).length;
    used += inBin;
    if (inBin > 0 && 2 * used > 2 ** bits) slots = high + 1;
  }
  return slots;
}
