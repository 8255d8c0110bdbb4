import { CHECKS } from './checks.ts';
import { FIELDS } from './fields.ts';
import type { ArrayField, Field, FieldTable, Pattern } from './field.ts';

export const NAME = 'session-guard';
export const VERSION = '0.1.0';
/**
 * After every auth plugin (hmac-auth 1030 is the last; in Enterprise jwt-signer 1020 and saml 1010), before ip-restriction
 * 990, acl 950 and rate-limiting 910.
 */
export const PRIORITY = 1005;
export const PHASES = ['access'] as const;

type KongField = Record<string, unknown>;

const patternRules = ({ lua, luaNot, err }: Pattern): KongField => ({
  ...(lua && { match_any: { patterns: lua, err } }),
  ...(luaNot && { match_none: luaNot.map((pattern) => ({ pattern, err })) }),
});

/** One field in Kong's schema language (kong/db/schema/init.lua), with attributes that Kong 3.4 knows. */
function toKong(field: Field): KongField {
  const common: KongField = { type: field.type, description: field.description };
  if (field.required) common['required'] = true;
  switch (field.type) {
    case 'string':
      return {
        ...common,
        ...(field.default !== undefined && { default: field.default }),
        ...(field.oneOf && { one_of: field.oneOf }),
        ...(field.minLength !== undefined && { len_min: field.minLength }),
        ...(field.maxLength !== undefined && { len_max: field.maxLength }),
        ...(field.pattern && patternRules(field.pattern)),
        ...(field.referenceable && { referenceable: true, encrypted: true }),
      };
    case 'number':
    case 'integer':
      return {
        ...common,
        between: field.between,
        ...(field.default !== undefined && { default: field.default }),
      };
    case 'boolean':
      return { ...common, ...(field.default !== undefined && { default: field.default }) };
    case 'array':
      return { ...common, elements: toElements(field) };
    case 'set':
      return {
        ...common,
        elements: { type: 'string', one_of: field.oneOf },
        ...(field.default && { default: field.default }),
      };
    case 'record':
      // Records are required, hence filled in, unless one says otherwise (test/traces/admin-api/plugin-required-record.json).
      return {
        ...common,
        required: false,
        fields: kongFields(field.fields),
        entity_checks: field.checks,
      };
  }
}

const toElements = ({ elements }: ArrayField): KongField => ({
  type: elements.type,
  ...(elements.minLength !== undefined && { len_min: elements.minLength }),
  ...(elements.pattern && patternRules(elements.pattern)),
  ...(elements.referenceable && { referenceable: true, encrypted: true }),
});

const kongFields = (table: FieldTable): Record<string, KongField>[] =>
  Object.entries(table).map(([name, field]) => ({ [name]: toKong(field) }));

/** The fields of the `config` record, as kong-pdk expects them in `exports.Schema`. */
export const schemaFields = (): Record<string, KongField>[] => kongFields(FIELDS);

/**
 * What the query command prints: the whole schema, with what kong-pdk's own dump cannot say: no configuration per
 * consumer, and rules over several fields (kong/db/schema/plugin_loader.lua).
 */
export function pluginInfo(): {
  Name: string;
  Version: string;
  Priority: number;
  Phases: readonly string[];
  Schema: object;
} {
  return {
    Name: NAME,
    Version: VERSION,
    Priority: PRIORITY,
    Phases: PHASES,
    Schema: {
      name: NAME,
      fields: [
        { consumer: { type: 'foreign', reference: 'consumers', eq: null } },
        {
          protocols: {
            type: 'set',
            required: true,
            elements: { type: 'string', one_of: ['grpc', 'grpcs', 'http', 'https'] },
            default: ['grpc', 'grpcs', 'http', 'https'],
          },
        },
        {
          config: {
            type: 'record',
            required: true,
            fields: schemaFields(),
            entity_checks: CHECKS,
          },
        },
      ],
    },
  };
}
