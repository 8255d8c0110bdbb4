import type { Json } from '../entities.ts';
import type { Problem, Problems } from './validate.ts';
import { isTable } from './schema.ts';

/** An answer of the Admin API that is not a success (kong/db/errors.lua, kong/api/endpoints.lua). */
export class AdminError extends Error {
  readonly status: number;
  readonly body: Json;

  constructor(status: number, message: string, details: { [name: string]: Json } = {}) {
    super(message);
    this.status = status;
    this.body = { ...details, message };
  }
}

export function notFound(message = 'Not found'): AdminError {
  return new AdminError(404, message);
}

/** 400: every problem is in `fields`, and once more in the message. */
export function schemaViolation(problems: Problems): AdminError {
  const { '@entity': entity, ...fields } = problems;
  const list = [
    ...(Array.isArray(entity) ? entity.map(String) : []),
    ...Object.keys(fields)
      .toSorted()
      .flatMap((name) => describe(name, fields[name] ?? '')),
  ];
  const count = list.length === 1 ? 'schema violation' : `${list.length} schema violations`;
  return new AdminError(400, `${count} (${list.join('; ')})`, {
    code: 2,
    name: 'schema violation',
    fields: problems,
  });
}

/** 409: another entity has the same unique value or composite key. */
export function uniqueViolation(key: { [field: string]: Json }): AdminError {
  return new AdminError(409, `UNIQUE violation detected on '${inLua(key)}'`, {
    code: 5,
    name: 'unique constraint violation',
    fields: key,
  });
}

export function primaryKeyViolation(id: string): AdminError {
  return new AdminError(400, `primary key violation on key '${inLua({ id })}'`, {
    code: 3,
    name: 'primary key violation',
    fields: { id },
  });
}

/** 400: a foreign key points to nothing. */
export function invalidReference(field: string, key: Json, parent: string): AdminError {
  const message = `the foreign key '${inLua(key)}' does not reference an existing '${parent}' entity.`;
  return foreignKeyViolation(message, { [field]: key });
}

/** 400: an entity that others point to cannot be deleted. */
export function stillReferenced(parent: string, child: string): AdminError {
  const message = `an existing '${child}' entity references this '${parent}' entity`;
  return foreignKeyViolation(message, { '@referenced_by': child });
}

/** 400: a foreign key given by name (`{name: …}`) names nothing. */
export function unresolvedReference(
  field: string,
  unique: { [field: string]: Json },
  parent: string,
): AdminError {
  const message = `the foreign key cannot be resolved with '${inLua(unique)}' for an existing '${parent}' entity`;
  const [name = ''] = Object.keys(unique);
  return new AdminError(400, `foreign key unresolved (${field}.${name}: ${message})`, {
    code: 13,
    name: 'foreign keys unresolved',
    fields: { [field]: { [name]: message } },
  });
}

function foreignKeyViolation(message: string, fields: { [field: string]: Json }): AdminError {
  return new AdminError(400, message, { code: 4, name: 'foreign key violation', fields });
}

function describe(name: string, problem: Problem): string[] {
  if (typeof problem === 'string') return [`${name}: ${problem}`];
  const parts: [string, Problem | null][] = Array.isArray(problem)
    ? problem.map((part, index) => [String(index + 1), part])
    : Object.entries(problem).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return parts.flatMap(([part, value]) => {
    if (value === null) return [];
    return [`${name}.${part}: ${typeof value === 'string' ? value : inLua(value, '  ')}`];
  });
}

/** As Penlight's `pretty.write` prints a table: on one line without `indent`, else one entry per line. */
function inLua(value: Json, indent = '', margin = ''): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const inner = margin + indent;
  const entries = isTable(value)
    ? Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1))
    : value.map((item, index): [number, Json] => [index + 1, item]);
  const lines = entries
    .filter(([, item]) => item !== null || isTable(value))
    .map(([key, item], index) => inner + luaKey(key, index, indent) + inLua(item, indent, inner));
  const [open, separator, close] = indent === '' ? ['{', ',', '}'] : ['{\n', ',\n', `\n${margin}}`];
  return open + lines.join(separator) + close;
}

/** Elements of a list have no key as long as there is no hole before them. */
function luaKey(key: string | number, index: number, indent: string): string {
  const equals = indent === '' ? '=' : ' = ';
  if (typeof key === 'number') return key === index + 1 ? '' : `[${key}]${equals}`;
  return (/^[A-Za-z_]\w*$/.test(key) ? key : `["${key}"]`) + equals;
}
