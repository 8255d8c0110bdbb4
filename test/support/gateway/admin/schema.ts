import type { Json } from '../entities.ts';

/** A JSON object: what Kong's Lua calls a table with string keys. */
export type Table = { [field: string]: Json };

export type FieldType =
  'array' | 'boolean' | 'foreign' | 'integer' | 'map' | 'number' | 'record' | 'set' | 'string';

interface Pattern {
  readonly pattern: string;
  readonly err: string;
}

/** The attributes of a field that Kong's data-only schema language has (kong/db/schema/metaschema.lua). */
export interface Field {
  readonly type?: FieldType;
  readonly required?: boolean;
  readonly default?: Json;
  readonly description?: string;
  readonly err?: string;
  readonly eq?: Json;
  readonly ne?: Json;
  readonly gt?: number;
  readonly between?: readonly [number, number];
  readonly one_of?: readonly Json[];
  readonly not_one_of?: readonly Json[];
  readonly len_eq?: number;
  readonly len_min?: number;
  readonly len_max?: number;
  readonly match?: string;
  readonly not_match?: string;
  readonly match_none?: readonly Pattern[];
  readonly match_all?: readonly Pattern[];
  readonly match_any?: { readonly patterns: readonly string[]; readonly err: string };
  readonly starts_with?: string;
  readonly contains?: Json;
  readonly uuid?: boolean;
  readonly timestamp?: boolean;
  readonly referenceable?: boolean;
  readonly encrypted?: boolean;
  readonly unique?: boolean;
  readonly auto?: boolean;
  readonly elements?: Field;
  readonly keys?: Field;
  readonly values?: Field;
  readonly fields?: Fields;
  readonly entity_checks?: readonly EntityCheck[];
  readonly shorthands?: Shorthands;
  readonly reference?: string;
  readonly on_delete?: 'cascade';
}

export type Fields = readonly { readonly [name: string]: Field }[];

/** Checks across fields, which are named by dotted paths (`config.allow`). */
export interface EntityCheck {
  readonly at_least_one_of?: readonly string[];
  readonly only_one_of?: readonly string[];
  readonly distinct?: readonly string[];
  readonly mutually_required?: readonly string[];
  readonly mutually_exclusive?: readonly string[];
  readonly conditional?: Conditional;
  readonly conditional_at_least_one_of?: ConditionalAtLeastOneOf;
}

export interface Conditional {
  readonly if_field: string;
  readonly if_match: Field;
  readonly then_field: string;
  readonly then_match: Field;
  readonly then_err?: string;
}

export interface ConditionalAtLeastOneOf {
  readonly if_field: string;
  readonly if_match: Field;
  readonly then_at_least_one_of: readonly string[];
  readonly then_err: string;
  readonly else_match: Field;
  readonly else_then_at_least_one_of: readonly string[];
  readonly else_then_err: string;
}

/** Input names that stand for other fields; those with `shown` also appear in answers (deprecated names). */
export interface Shorthands {
  readonly [name: string]: {
    readonly field: Field;
    expand(value: Json): Table;
    readonly shown?: string;
  };
}

export interface Schema {
  readonly name?: string;
  readonly fields: Fields;
  readonly entity_checks?: readonly EntityCheck[];
  readonly shorthands?: Shorthands;
}

export function isTable(value: Json | undefined): value is Table {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Name and definition of every field of a schema or record, in order. */
export function eachField(schema: Pick<Schema, 'fields'> | Field): [name: string, field: Field][] {
  return (schema.fields ?? []).flatMap((entry) => Object.entries(entry));
}

/** The definition at a dotted path. */
export function fieldAt(schema: Schema | Field, path: string): Field | undefined {
  const [head, ...tail] = path.split('.');
  const field = eachField(schema).find(([name]) => name === head)?.[1];
  return field === undefined || tail.length === 0 ? field : fieldAt(field, tail.join('.'));
}

/** The value at a dotted path; undefined where any part of the way is absent or null. */
export function valueAt(table: Json | undefined, path: string): Json | undefined {
  const [head = '', ...tail] = path.split('.');
  const value = isTable(table) && Object.hasOwn(table, head) ? table[head] : undefined;
  return tail.length === 0 ? value : valueAt(value, tail.join('.'));
}

/** A scalar as Lua's `tostring` writes it. */
export function textOf(value: Json): string {
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

/** A vault reference, which skips every validator of a referenceable field (kong/pdk/vault.lua). */
export function isReference(value: Json | undefined): value is string {
  return typeof value === 'string' && value.startsWith('{vault://') && value.endsWith('}');
}
