import type { IncomingMessage } from 'node:http';
import { buffer } from 'node:stream/consumers';
import type { Json } from '../entities.ts';
import { AdminError } from './errors.ts';
import { eachField, isTable } from './schema.ts';
import type { Field, Schema, Table } from './schema.ts';

/** The parameters in the body of a request; those of a form are text until `inferred`. */
export interface Body {
  readonly data: Table;
  readonly isForm: boolean;
}

/** @throws AdminError 400 for JSON that is none; 415, with nginx's page, for other types than JSON and forms. */
export async function readBody(request: IncomingMessage): Promise<Body> {
  const content = await buffer(request);
  const type = request.headers['content-type'] ?? '';
  if (type.startsWith('application/json')) return { data: parsed(content), isForm: false };
  if (/^(application\/x-www-form-urlencoded|multipart\/form-data)/.test(type))
    return { data: await parsedForm(content, type), isForm: true };
  if (type === '' && content.length === 0) return { data: {}, isForm: false };
  throw new AdminError(415, 'Unsupported Media Type');
}

/** The texts of a form as the types that the schema expects (`infer_value` of kong/api/arguments.lua). */
export function inferred(data: Table, schema: Schema | Field): Table {
  const fields = [
    ...eachField(schema),
    ...Object.entries(schema.shorthands ?? {}).map(([name, { field }]): [string, Field] => [
      name,
      field,
    ]),
  ];
  const typed = { ...data };
  for (const [name, field] of fields) {
    const value = typed[name];
    if (value !== undefined) typed[name] = inferredValue(value, field);
  }
  return typed;
}

function parsed(content: Buffer): Table {
  try {
    const data = JSON.parse(content.toString()) as Json;
    return isTable(data) ? data : {};
  } catch {
    throw new AdminError(400, 'Cannot parse JSON body');
  }
}

async function parsedForm(content: Buffer, type: string): Promise<Table> {
  const form = await new Response(content, { headers: { 'content-type': type } }).formData();
  const tree = emptyTable();
  for (const [name, value] of form) if (typeof value === 'string') place(tree, pathOf(name), value);
  return tree;
}

/** Without a prototype, since the names come from the client. */
function emptyTable(): Table {
  return Object.create(null) as Table;
}

/** `a.b[c]` is `['a', 'b', 'c']`, `a[]` and `a[2]` are `['a', 0]` and `['a', 2]`. */
function pathOf(name: string): (string | number)[] {
  return [...name.matchAll(/\[(\d*)\]|\[([^\]]*)\]|([^.[\]]+)/g)].map(
    ([, index, bracketed, plain]) =>
      index === undefined ? (bracketed ?? plain ?? '') : Number(index),
  );
}

function place(node: Json[] | Table, path: readonly (string | number)[], value: string): void {
  const [head = '', ...tail] = path;
  if (Array.isArray(node)) {
    node.push(value);
    return;
  }
  const inner = node[head];
  if (tail.length > 0) {
    const next = typeof inner === 'object' && inner !== null ? inner : containerFor(tail);
    node[head] = next;
    place(next, tail, value);
  } else if (inner === undefined) node[head] = value;
  else node[head] = Array.isArray(inner) ? [...inner, value] : [inner, value];
}

function containerFor(path: readonly (string | number)[]): Json[] | Table {
  return typeof path[0] === 'number' ? [] : emptyTable();
}

function inferredValue(value: Json, field: Field): Json {
  if (value === '' || value === null) return null;
  if (field.type === undefined) return value;
  switch (field.type) {
    case 'integer':
    case 'number':
      return typeof value === 'string' && Number.isFinite(Number(value)) ? Number(value) : value;
    case 'boolean':
      return value === 'true' || value === 'false' ? value === 'true' : value;
    case 'array':
    case 'set':
      return (Array.isArray(value) ? value : [value]).map((item) =>
        inferredValue(item, field.elements ?? {}),
      );
    case 'map':
      return isTable(value) ? mapValues(value, field.values ?? {}) : value;
    case 'record':
    case 'foreign':
      return isTable(value) ? inferred(value, field) : value;
    case 'string':
      return value;
  }
}

function mapValues(map: Table, field: Field): Table {
  return Object.fromEntries(
    Object.entries(map).map(([key, item]) => [key, inferredValue(item, field)]),
  );
}
