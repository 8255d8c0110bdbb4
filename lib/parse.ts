import { SessionError } from './errors.ts';
import type {
  ArrayField,
  Field,
  FieldTable,
  NumberField,
  RecordField,
  SetField,
  StringField,
} from './field.ts';

type Value = string | number | boolean | readonly string[] | Values;
interface Values {
  readonly [name: string]: Value | undefined;
}

/** What a table of fields looks like after parsing: a default or `required` makes a field present. */
export type Parsed<T extends FieldTable> = {
  readonly [K in keyof T]: T[K] extends { default: unknown } | { required: true }
    ? Plain<T[K]>
    : Plain<T[K]> | undefined;
};
type Plain<F extends Field> = F extends { type: 'string'; oneOf: readonly (infer O)[] }
  ? O
  : F extends { type: 'string' }
    ? string
    : F extends { type: 'number' | 'integer' }
      ? number
      : F extends { type: 'boolean' }
        ? boolean
        : F extends { type: 'set'; oneOf: readonly (infer O)[] }
          ? readonly O[]
          : F extends { type: 'array' }
            ? readonly string[]
            : F extends RecordField
              ? Parsed<F['fields']>
              : never;

/** @throws SessionError ERR_CONFIG: `config.FIELD: PROBLEM` */
export const refuse = (field: string, problem: string): never => {
  throw new SessionError('ERR_CONFIG', `config.${field}: ${problem}`);
};

/** Values by the table, unknown keys left out. `prefix` stands before the names in messages. */
export function parseTable<T extends FieldTable>(
  table: T,
  raw: Record<string, unknown>,
  prefix = '',
): Parsed<T> {
  const entries = Object.entries(table).map(([name, field]) => [
    name,
    parseField(field, Object.hasOwn(raw, name) ? raw[name] : undefined, prefix + name),
  ]);
  const values: unknown = Object.fromEntries(entries);
  return values as Parsed<T>;
}

function parseField(field: Field, value: unknown, name: string): Value | undefined {
  if (value === undefined || value === null) {
    if (field.required) refuse(name, 'required field missing');
    return 'default' in field ? field.default : undefined;
  }
  switch (field.type) {
    case 'string':
      return parseString(field, value, name);
    case 'number':
    case 'integer':
      return parseNumber(field, value, name);
    case 'boolean':
      return typeof value === 'boolean' ? value : refuse(name, 'expected a boolean');
    case 'set':
      return parseSet(field, value, name);
    case 'array':
      return parseArray(field, value, name);
    case 'record':
      if (typeof value !== 'object' || Array.isArray(value))
        return refuse(name, 'expected a record');
      return parseTable(field.fields, value as Record<string, unknown>, `${name}.`);
  }
}

function parseString(field: StringField, value: unknown, name: string) {
  if (typeof value !== 'string') return refuse(name, 'expected a string');
  if (value === '' && field.referenceable) {
    // Kong resolves a vault reference that leads nowhere to the empty string (kong/pdk/vault.lua).
    return refuse(name, 'is empty: does the vault reference lead to a value?');
  }
  if (field.oneOf && !field.oneOf.includes(value)) {
    refuse(name, `expected one of: ${field.oneOf.join(', ')}`);
  }
  const { minLength = 1, maxLength = Infinity, pattern } = field;
  const length = Buffer.byteLength(value); // as Kong counts
  if (length < minLength) refuse(name, `must have at least ${minLength} characters`);
  if (length > maxLength) refuse(name, `must have at most ${maxLength} characters`);
  if (pattern && !pattern.js.test(value)) refuse(name, pattern.err);
  return value;
}

function parseNumber(field: NumberField, value: unknown, name: string) {
  if (typeof value !== 'number') return refuse(name, 'expected a number');
  const [low, high] = field.between;
  // Written so that NaN is refused too.
  if (!(value >= low && value <= high)) refuse(name, `value should be between ${low} and ${high}`);
  if (field.type === 'integer' && !Number.isInteger(value)) refuse(name, 'expected an integer');
  return value;
}

function parseSet(field: SetField, value: unknown, name: string) {
  if (!Array.isArray(value)) return refuse(name, 'expected a set');
  return value.map((element: unknown) =>
    typeof element === 'string' && field.oneOf.includes(element)
      ? element
      : refuse(name, `expected one of: ${field.oneOf.join(', ')}`),
  );
}

function parseArray(field: ArrayField, value: unknown, name: string): string[] {
  if (!Array.isArray(value)) return refuse(name, 'expected an array');
  // Kong counts from 1, and so do its messages.
  return value.map((element: unknown, index) =>
    parseString({ ...field.elements, description: '' }, element, `${name}[${index + 1}]`),
  );
}

/** 0 switches most limits off, so nothing else may become 0. */
export const ms = (seconds: number): number =>
  seconds > 0 ? Math.max(1, Math.round(seconds * 1000)) : 0;
