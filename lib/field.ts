/**
 * A constraint on a string, once in Lua's patterns for Kong and once as a regular expression for us. Both say the same,
 * or a configuration that the Admin API takes fails at every request.
 */
export interface Pattern {
  /** One of them matches. */
  readonly lua?: readonly string[];
  /** None of them does. */
  readonly luaNot?: readonly string[];
  readonly js: RegExp;
  readonly err: string;
}

interface Common {
  readonly description: string;
  readonly required?: true;
}

export interface StringField extends Common {
  readonly type: 'string';
  readonly default?: string;
  readonly oneOf?: readonly string[];
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: Pattern;
  /** A vault reference may stand for the value; Kong resolves it before we see it. */
  readonly referenceable?: true;
}

export interface NumberField extends Common {
  readonly type: 'number' | 'integer';
  readonly default?: number;
  readonly between: readonly [number, number];
}

interface BooleanField extends Common {
  readonly type: 'boolean';
  readonly default?: boolean;
}

export interface SetField extends Common {
  readonly type: 'set';
  readonly default?: readonly string[];
  readonly oneOf: readonly string[];
}

export interface ArrayField extends Common {
  readonly type: 'array';
  readonly elements: Pick<StringField, 'type' | 'minLength' | 'pattern' | 'referenceable'>;
}

export interface RecordField extends Common {
  readonly type: 'record';
  readonly fields: FieldTable;
  readonly checks: readonly EntityCheck[];
}

export type Field = StringField | NumberField | BooleanField | SetField | ArrayField | RecordField;
export type FieldTable = { readonly [name: string]: Field };

/** If one field meets a condition another one must meet its own. */
export interface ConditionalCheck {
  readonly if_field: string;
  readonly if_match: object;
  readonly then_field: string;
  readonly then_match: object;
  readonly then_err?: string;
}

/** A rule over several fields of a record, in Kong's own words (entity_checks). */
export type EntityCheck =
  | { readonly at_least_one_of: readonly string[] }
  | { readonly distinct: readonly string[] }
  | { readonly conditional: ConditionalCheck };
