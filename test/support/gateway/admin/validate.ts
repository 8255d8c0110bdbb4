import type { Json } from '../entities.ts';
import { entityProblems } from './checks.ts';
import { luaMatches } from './lua-pattern.ts';
import { eachField, isReference, isTable, textOf } from './schema.ts';
import type { Field, Schema, Table } from './schema.ts';

/** What is wrong with a value: a sentence, or the problems of its parts (null: this element is fine). */
export type Problem = string | Problems | (Problem | null)[];

/** Problems by field; those of no single field are a list under `@entity`. */
export interface Problems {
  [field: string]: Problem;
}

export const REQUIRED = 'required field missing';
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Validates filled data (`fill`) as `Schema:validate` of kong/db/schema/init.lua; undefined: all is well. */
export function validate(schema: Schema | Field, data: Table): Problems | undefined {
  // No prototype: the names come from the client.
  const problems = Object.create(null) as Problems;
  const fields = new Map(eachField(schema));
  for (const [name, value] of Object.entries(data)) {
    const field = fields.get(name);
    const problem = field === undefined ? 'unknown field' : validateField(field, value);
    if (problem !== undefined) problems[name] = problem;
  }
  for (const [name, field] of fields)
    if (field.required && (data[name] ?? null) === null) problems[name] = REQUIRED;
  entityProblems(schema, data, problems);
  return Object.keys(problems).length === 0 ? undefined : problems;
}

/** What is wrong with the value of one field, its parts included. */
export function validateField(field: Field, value: Json): Problem | undefined {
  if (value === null) return problemOfNull(field);
  if (field.eq === null) return field.err ?? 'value must be null';
  const problem = problemOfType(field, value);
  if (problem !== undefined) return problem;
  if (field.referenceable && isReference(value)) return undefined;
  const violation = violationOfValue(field, value) ?? violationOfContent(field, value);
  return violation === undefined ? undefined : (field.err ?? violation);
}

export function isUuid(value: Json | undefined): value is string {
  return typeof value === 'string' && UUID.test(value);
}

function problemOfNull(field: Field): Problem | undefined {
  if (field.ne === null) return field.err ?? 'value must not be null';
  if (field.eq !== undefined && field.eq !== null) return `value must be ${textOf(field.eq)}`;
  return field.required ? REQUIRED : undefined;
}

function problemOfType(field: Field, value: Json): Problem | undefined {
  if (field.type === undefined) return undefined;
  switch (field.type) {
    case 'array':
      return Array.isArray(value) ? problemsOfList(field, value) : 'expected an array';
    case 'set':
      return Array.isArray(value) ? problemsOfList(field, value) : 'expected a set';
    case 'map':
      return typeof value === 'object' ? problemOfMap(field, value) : 'expected a map';
    case 'record':
      if (Array.isArray(value)) return value.map(() => 'unknown field');
      return isTable(value) ? validate(field, value) : 'expected a record';
    case 'foreign':
      return problemOfReference(value);
    case 'integer':
      return Number.isInteger(value) ? undefined : 'expected an integer';
    case 'number':
    case 'string':
    case 'boolean':
      return typeof value === field.type ? undefined : `expected a ${field.type}`;
  }
}

function problemsOfList(field: Field, list: readonly Json[]): Problem | undefined {
  const elements = { ...field.elements, required: true };
  const problems = list.map((item) => validateField(elements, item) ?? null);
  const last = problems.findLastIndex((problem) => problem !== null);
  return last < 0 ? undefined : problems.slice(0, last + 1);
}

function problemOfMap(field: Field, map: Json[] | Table | null): Problem | undefined {
  const entries: [Json, Json][] = Array.isArray(map)
    ? map.map((item, index) => [index + 1, item])
    : Object.entries(map ?? {});
  for (const [key, value] of entries) {
    const problem =
      validateField({ ...field.keys, required: true }, key) ??
      validateField({ ...field.values, required: true }, value);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function problemOfReference(value: Json): Problem | undefined {
  if (!isTable(value) || value['id'] === undefined) return { id: 'missing primary key' };
  return isUuid(value['id']) ? undefined : { id: 'expected a valid UUID' };
}

function violationOfValue(field: Field, value: Json): string | undefined {
  const { eq, ne, not_one_of: not, one_of: some, gt, between } = field;
  if (eq !== undefined && value !== eq) return `value must be ${textOf(eq)}`;
  if (ne !== undefined && value === ne) return `value must not be ${textOf(value)}`;
  if (not?.includes(value)) return `must not be one of: ${not.map(textOf).join(', ')}`;
  if (some && !some.includes(value)) return `expected one of: ${some.map(textOf).join(', ')}`;
  if (gt !== undefined && !(Number(value) > gt)) return `value must be greater than ${gt}`;
  if (field.timestamp && !(Number(value) > 0)) return 'expected a valid timestamp';
  if (field.uuid && !isUuid(value)) return 'expected a valid UUID';
  if (between && (Number(value) < between[0] || Number(value) > between[1]))
    return `value should be between ${Math.trunc(between[0])} and ${Math.trunc(between[1])}`;
  return undefined;
}

/** Checks of strings, lists and maps. The length of a string is that of its bytes; "" is refused by default. */
function violationOfContent(field: Field, value: Json): string | undefined {
  const { len_eq: equal, len_max: max, contains } = field;
  const min = field.len_min ?? (typeof value === 'string' ? 1 : 0);
  const length = lengthOf(value);
  if (equal !== undefined && length !== equal) return `length must be ${equal}`;
  if (length < min) return `length must be at least ${min}`;
  if (max !== undefined && length > max) return `length must be at most ${max}`;
  if (typeof value === 'string') return violationOfText(field, value);
  if (contains !== undefined && !(Array.isArray(value) && value.includes(contains)))
    return `expected to contain: ${textOf(contains)}`;
  return undefined;
}

function violationOfText(field: Field, text: string): string | undefined {
  const { starts_with: start, not_match: not, match, match_any: any } = field;
  if (start !== undefined && !text.startsWith(start)) return `should start with: ${start}`;
  if (not !== undefined && luaMatches(text, not)) return `invalid value: ${text}`;
  const none = field.match_none?.find(({ pattern }) => luaMatches(text, pattern));
  if (none) return none.err;
  if (match !== undefined && !luaMatches(text, match)) return `invalid value: ${text}`;
  const all = field.match_all?.find(({ pattern }) => !luaMatches(text, pattern));
  if (all) return all.err;
  return any && !any.patterns.some((pattern) => luaMatches(text, pattern)) ? any.err : undefined;
}

function lengthOf(value: Json): number {
  if (typeof value === 'string') return Buffer.byteLength(value);
  return typeof value === 'object' && value !== null ? Object.keys(value).length : 0;
}
