import type { Json } from '../entities.ts';
import { fieldAt, isReference, isTable, valueAt } from './schema.ts';
import type { Conditional, ConditionalAtLeastOneOf, EntityCheck, Field } from './schema.ts';
import type { Schema, Table } from './schema.ts';
import { REQUIRED, validateField } from './validate.ts';
import type { Problem, Problems } from './validate.ts';

/** Runs the checks across fields and adds what they find to `problems` (`run_entity_checks` of Kong). */
export function entityProblems(schema: Schema | Field, data: Table, problems: Problems): void {
  for (const check of schema.entity_checks ?? []) {
    const { fields, needed } = fieldsOf(check);
    // Nobody knows what a vault reference will be.
    if (fields.some((path) => isReferenceIn(schema, data, path))) continue;
    const absent = needed.filter((path) => valueAt(data, path) === undefined);
    // With nothing at all to look at, there is nothing to check but that something is there.
    if (absent.length > 0 && fields.every((path) => valueAt(data, path) === undefined)) continue;
    for (const path of absent) place(problems, path, 'field required for entity check');
    if (absent.length > 0) continue;
    const problem = problemOf(check, schema, data, problems);
    if (problem === undefined) continue;
    const found = problems['@entity'];
    problems['@entity'] = Array.isArray(found) ? [...found, problem] : [problem];
  }
}

/** The fields that a check looks at, and those among them that it cannot do without. */
function fieldsOf(check: EntityCheck): { fields: readonly string[]; needed: readonly string[] } {
  const { conditional: one, conditional_at_least_one_of: either, ...lists } = check;
  if (one) return { fields: [one.if_field, one.then_field], needed: [one.if_field] };
  if (either) return { fields: [either.if_field, ...either.then_at_least_one_of], needed: [] };
  const fields = Object.values<readonly string[] | undefined>(lists).flatMap(
    (names) => names ?? [],
  );
  return { fields, needed: check.only_one_of ?? check.distinct ?? [] };
}

function isReferenceIn(schema: Schema | Field, data: Table, path: string): boolean {
  return fieldAt(schema, path)?.referenceable === true && isReference(valueAt(data, path));
}

function problemOf(
  check: EntityCheck,
  schema: Schema | Field,
  data: Table,
  problems: Problems,
): string | undefined {
  const set = (names: readonly string[]) => names.filter((name) => isSet(valueAt(data, name)));
  const { at_least_one_of: some, only_one_of: one, distinct } = check;
  if (some && set(some).length === 0)
    return `at least one of these fields must be non-empty: ${quoted(some)}`;
  if (one && set(one).length !== 1)
    return `exactly one of these fields must be non-empty: ${quoted(one)}`;
  if (distinct && hasDuplicates(set(distinct).map((name) => valueAt(data, name))))
    return `values of these fields must be distinct: ${quoted(distinct)}`;
  if (check.conditional) return problemOfConditional(check.conditional, schema, data, problems);
  if (check.conditional_at_least_one_of)
    return problemOfEither(check.conditional_at_least_one_of, schema, data);
  // These two, alone, do not run over fields that are wrong already.
  const { mutually_required: all, mutually_exclusive: exclusive } = check;
  const names = all ?? exclusive ?? [];
  if (names.some((name) => problems[name] !== undefined)) return undefined;
  if (all && set(all).length > 0 && set(all).length < all.length)
    return `all or none of these fields must be set: ${quoted(all)}`;
  if (exclusive && set(exclusive).length > 1)
    return `only one or none of these fields must be set: ${quoted(exclusive)}`;
  return undefined;
}

/** If one field matches, another one must match too; the other one's problem is also reported at its place. */
function problemOfConditional(
  check: Conditional,
  schema: Schema | Field,
  data: Table,
  problems: Problems,
): string | undefined {
  if (!matches(schema, data, check.if_field, check.if_match)) return undefined;
  const value = valueAt(data, check.then_field) ?? null;
  const field = { ...fieldAt(schema, check.then_field), ...check.then_match };
  const isMissing = check.then_match.required === true && value === null;
  const problem = isMissing ? REQUIRED : validateField(field, value);
  if (problem === undefined) return undefined;
  place(problems, check.then_field, problem);
  return check.then_err ?? `failed conditional validation given value of field '${check.if_field}'`;
}

function problemOfEither(
  check: ConditionalAtLeastOneOf,
  schema: Schema | Field,
  data: Table,
): string | undefined {
  const then = matches(schema, data, check.if_field, check.if_match);
  if (!then && !matches(schema, data, check.if_field, check.else_match)) return undefined;
  const names = then ? check.then_at_least_one_of : check.else_then_at_least_one_of;
  if (names.some((name) => isSet(valueAt(data, name)))) return undefined;
  return (then ? check.then_err : check.else_then_err).replace('%s', quoted(names));
}

function matches(schema: Schema | Field, data: Table, path: string, match: Field): boolean {
  const value = valueAt(data, path);
  if (value === undefined) return false;
  return validateField({ ...fieldAt(schema, path), ...match }, value) === undefined;
}

function place(problems: Problems, path: string, problem: Problem): void {
  const [head = '', ...tail] = path.split('.');
  if (tail.length === 0) {
    problems[head] = problem;
    return;
  }
  const inner = (problems[head] ??= {});
  if (typeof inner === 'object' && !Array.isArray(inner)) place(inner, tail.join('.'), problem);
}

function isSet(value: Json | undefined): boolean {
  if (Array.isArray(value)) return value.length > 0;
  if (isTable(value)) return Object.keys(value).length > 0;
  return value !== undefined && value !== null && value !== '';
}

function hasDuplicates(values: readonly (Json | undefined)[]): boolean {
  return new Set(values).size < values.length;
}

function quoted(names: readonly string[]): string {
  return names.map((name) => `'${name}'`).join(', ');
}
