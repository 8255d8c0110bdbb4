import { randomBytes } from 'node:crypto';
import type { Json } from '../entities.ts';
import { schemaViolation } from './errors.ts';
import { eachField, isTable } from './schema.ts';
import type { Field, Schema, Table } from './schema.ts';
import { validateField } from './validate.ts';

/** What Kong is about to do with the data; only `update` leaves missing fields missing. */
export type Context = 'insert' | 'update' | 'upsert' | 'select';

/** Where automatic values come from: `id` a UUID, `now` Unix seconds. */
export interface Source {
  id(): string;
  now(): number;
}

/**
 * Fills automatic values, defaults and nulls into `data` and makes sets of arrays, as `process_auto_fields` of
 * kong/db/schema/init.lua does. Unknown fields and wrong types are left for `validate`.
 */
export function fill(schema: Schema | Field, data: Table, context: Context, source: Source): Table {
  const filled = expandShorthands(schema, data);
  for (const [name, field] of eachField(schema)) {
    const given = automatic(name, field, filled[name], context, source);
    const value = fillField(field, given, context, source);
    if (value !== undefined) filled[name] = value;
  }
  return filled;
}

/** `top` over `bottom`: records are merged, sets, arrays and maps replaced (`merge_values`). */
export function merge(schema: Schema | Field, top: Table, bottom: Table): Table {
  const merged: Table = { ...bottom, ...top };
  for (const [name, field] of eachField(schema)) {
    const [over, under] = [top[name], bottom[name]];
    if (field.type === 'record' && isTable(over))
      merged[name] = merge(field, over, isTable(under) ? under : {});
  }
  return merged;
}

/** Adds the deprecated names that Kong still shows (`redis_host` for `redis.host`). */
export function withShorthands(schema: Schema | Field, data: Table): Table {
  const shown = { ...data };
  for (const [name, { shown: path }] of Object.entries(schema.shorthands ?? {})) {
    const [record = '', field = ''] = path?.split('.') ?? [];
    const values = shown[record];
    if (path !== undefined) shown[name] = (isTable(values) ? values[field] : null) ?? null;
  }
  for (const [name, field] of eachField(schema)) {
    const value = shown[name];
    if (field.type === 'record' && isTable(value)) shown[name] = withShorthands(field, value);
  }
  return shown;
}

function expandShorthands(schema: Schema | Field, data: Table): Table {
  let expanded = { ...data };
  for (const [name, shorthand] of Object.entries(schema.shorthands ?? {})) {
    const { [name]: value, ...others } = expanded;
    if (value === undefined) continue;
    const problem = validateField(shorthand.field, value);
    if (problem !== undefined) throw schemaViolation({ [name]: problem });
    expanded = merge(schema, shorthand.expand(value), others);
  }
  return expanded;
}

function automatic(
  name: string,
  field: Field,
  given: Json | undefined,
  context: Context,
  source: Source,
): Json | undefined {
  if (!field.auto || context === 'select') return given;
  if (name === 'updated_at') return source.now();
  if (context === 'update') return given;
  if (name === 'created_at') return given ?? source.now();
  if (given !== undefined) return given;
  if (field.uuid) return source.id();
  // Kong's random_string: 32 characters (kong/tools/rand.lua).
  return field.type === 'string' ? randomBytes(24).toString('base64url') : undefined;
}

function fillField(
  field: Field,
  given: Json | undefined,
  context: Context,
  source: Source,
): Json | undefined {
  const value = context === 'select' && given === null && field.required ? undefined : given;
  if (value === undefined)
    return context === 'update' ? undefined : missing(field, context, source);
  // JSON's {} and [] are one thing in Lua: an empty table.
  if (field.type === 'record') {
    // In Lua false, too, is missing where a record is expected.
    if (value === false) return missing(field, context, source);
    if (Array.isArray(value) && value.length === 0) return fill(field, {}, context, source);
    return isTable(value) ? fill(field, value, context, source) : value;
  }
  if (field.type === 'array' || field.type === 'set')
    return fillList(field, value, context, source);
  if (field.type === 'map') return fillMap(field, value, context, source);
  return value;
}

function fillList(field: Field, value: Json, context: Context, source: Source): Json {
  if (isTable(value) && Object.keys(value).length === 0) return [];
  if (!Array.isArray(value)) return value;
  const list = field.type === 'set' ? [...new Set(value)] : value;
  return list.map((item) => fillField(field.elements ?? {}, item, context, source) ?? null);
}

function fillMap(field: Field, value: Json, context: Context, source: Source): Json {
  if (Array.isArray(value) && value.length === 0) return {};
  if (!isTable(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key,
      fillField(field.values ?? {}, item, context, source) ?? null,
    ]),
  );
}

function missing(field: Field, context: Context, source: Source): Json | undefined {
  if (field.default !== undefined) {
    const copy = structuredClone(field.default);
    return field.type === 'record' && isTable(copy) ? fill(field, copy, context, source) : copy;
  }
  if (!field.required) return null;
  return field.type === 'record' ? fill(field, {}, context, source) : undefined;
}
