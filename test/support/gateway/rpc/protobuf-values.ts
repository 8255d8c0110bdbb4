import {
  type LuaKey,
  type LuaMap,
  type LuaTable,
  type LuaValue,
  entries,
  index,
  isTable,
  sequence,
} from '../lua.ts';

/** google.protobuf.Value and Lua values, with the losses of Kong's rpc/pb_rpc.lua. */

/** pb_rpc.lua, pb_unwrap: false and an empty Value become nil, null the text NULL_VALUE. */
export function unwrapValue(value: LuaValue): LuaValue {
  if (!isTable(value)) return value;
  const list = index(value, 'list_value');
  if (isTable(list)) return unwrapList(list);
  const struct = index(value, 'struct_value');
  if (isTable(struct)) return unwrapStruct(struct);
  const scalars = ['bool_value', 'string_value', 'number_value', 'null_value'];
  const found = scalars.map((name) => index(value, name));
  return found.find((one) => one !== undefined && one !== false);
}

export function unwrapList(list: LuaTable): LuaValue[] {
  const values = index(list, 'values');
  return (isTable(values) ? sequence(values) : []).map(unwrapValue);
}

export function unwrapStruct(struct: LuaValue): LuaValue {
  if (!isTable(struct)) return undefined;
  const fields = index(struct, 'fields');
  const members = isTable(fields) ? entries(fields) : [];
  const unwrapped = members.map(([key, value]): [LuaKey, LuaValue] => [key, unwrapValue(value)]);
  return new Map(unwrapped.filter(([, value]) => value !== undefined));
}

/** pb_rpc.lua, pb_wrap: a table without a first element is a struct, an empty list too. */
export function wrapValue(value: LuaValue): LuaMap {
  if (value === undefined) return new Map([['null_value', 1]]);
  if (typeof value === 'boolean') return new Map([['bool_value', value]]);
  if (typeof value === 'number') return new Map([['number_value', value]]);
  if (typeof value === 'string') return new Map([['string_value', value]]);
  if (!isTable(value)) return new Map();
  if (index(value, 1) !== undefined) return new Map([['list_value', wrapList(value)]]);
  return new Map([['struct_value', wrapStruct(value)]]);
}

function wrapList(list: LuaTable): LuaMap {
  return new Map([['values', sequence(list).map(wrapValue)]]);
}

export function wrapStruct(table: LuaValue): LuaMap {
  const members = isTable(table) ? entries(table) : [];
  const fields: LuaMap = new Map(members.map(([key, value]) => [String(key), wrapValue(value)]));
  return new Map([['fields', fields]]);
}
