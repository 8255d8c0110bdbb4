import type { Field, Schema } from './schema.ts';

/** What a field of a plugin's dump may say. Kong does not start with an attribute that it does not know. */
const ATTRIBUTES = new Set(
  [
    'type required default description err eq ne gt between one_of not_one_of len_eq len_min len_max',
    'match not_match match_none match_all match_any starts_with contains uuid timestamp referenceable',
    'encrypted unique auto elements keys values fields entity_checks reference on_delete',
  ].flatMap((names) => names.split(' ')),
);

const CHECKS = new Set(
  'at_least_one_of only_one_of distinct mutually_required mutually_exclusive conditional'.split(
    ' ',
  ),
);

/**
 * A plugin's schema as Kong holds it after loading: records are required unless they say otherwise.
 *
 * @throws TypeError that names the field, where Kong would refuse to start (or where the stand-in does not
 *   know an attribute): unknown attributes and checks, descriptions shorter than 10 or longer than 500.
 */
export function loadSchema(schema: Schema): Schema {
  checkEntityChecks(schema, schema.name ?? 'schema');
  return { ...schema, fields: loadFields(schema.fields, schema.name ?? 'schema') };
}

function loadFields(fields: Schema['fields'], path: string): Schema['fields'] {
  return fields.map((entry) =>
    Object.fromEntries(
      Object.entries(entry).map(([name, field]) => [name, loadField(field, `${path}.${name}`)]),
    ),
  );
}

function loadField(field: Field, path: string): Field {
  const unknown = Object.keys(field).find((attribute) => !ATTRIBUTES.has(attribute));
  if (unknown !== undefined) throw new TypeError(`${path}: ${unknown}: unknown field`);
  const { description } = field;
  if (description !== undefined && (description.length < 10 || description.length > 500))
    throw new TypeError(`${path}: a description has 10 to 500 characters`);
  checkEntityChecks(field, path);
  return {
    ...field,
    ...(field.type === 'record' && { required: field.required ?? true }),
    ...(field.fields && { fields: loadFields(field.fields, path) }),
    ...(field.elements && { elements: loadField(field.elements, path) }),
    ...(field.keys && { keys: loadField(field.keys, path) }),
    ...(field.values && { values: loadField(field.values, path) }),
  };
}

function checkEntityChecks(schema: Pick<Schema, 'entity_checks'>, path: string): void {
  const unknown = schema.entity_checks
    ?.flatMap((check) => Object.keys(check))
    .find((name) => !CHECKS.has(name));
  if (unknown !== undefined) throw new TypeError(`${path}: entity check ${unknown}: unknown`);
}
