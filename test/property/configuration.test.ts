import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseConfig } from '../../lib/config.ts';
import { NO_COOKIES, setCookies } from '../../lib/cookie.ts';
import type { Field, FieldTable, Pattern } from '../../lib/field.ts';
import { FIELDS } from '../../lib/fields.ts';
import { pluginInfo } from '../../lib/schema.ts';
import { secretProblem } from '../../lib/secret.ts';
import { fill } from '../support/gateway/admin/fill.ts';
import { fieldAt } from '../support/gateway/admin/schema.ts';
import type { Field as KongField, Schema, Table } from '../support/gateway/admin/schema.ts';
import { validate, validateField } from '../support/gateway/admin/validate.ts';
import { runs } from '../support/runs.ts';

/* What Kong's schema takes the parser takes too: otherwise the Admin API says 201 and every request 500. */

const SCHEMA = pluginInfo().Schema as Schema;
const SECRET = 'kJ8s7dhGq2Lm9xWvB4nZ1cT6yR3eP5aU';

/** What is nearly right: pieces of good values, in disorder. */
const PIECES: readonly (readonly string[])[] = [
  [
    '__Host-',
    '__Secure-',
    '__Http-',
    '__Host-Http-',
    '__host-',
    'session',
    'remember',
    'a',
    '-',
    '_',
  ],
  [
    '/',
    '//',
    '/a',
    '.',
    '..',
    'a.test',
    'localhost',
    'https://',
    'http:',
    'postgres://',
    'postgresql:',
  ],
  [
    ';',
    '<',
    '>',
    '"',
    '\\',
    ' ',
    '\t',
    '\n',
    'ü',
    '€',
    '~',
    '^',
    '`',
    '[',
    ']',
    '{',
    '}',
    '%',
    '@',
    '?',
  ],
  ['change-this-secret', 'super-secret', 'Aq3', '0123456789', 'x'.repeat(63), SECRET],
];
const piece = fc.constantFrom(...PIECES.flat());
const text = fc.array(piece, { maxLength: 4 }).map((pieces) => pieces.join(''));

function valueOf(field: Field): fc.Arbitrary<unknown> {
  switch (field.type) {
    case 'string':
      return field.oneOf ? fc.constantFrom(...field.oneOf) : text;
    case 'number':
    case 'integer':
      return fc.oneof(fc.constantFrom(...field.between, 0.5), fc.integer({ min: -1, max: 4000 }));
    case 'boolean':
      return fc.boolean();
    case 'set':
      return fc.subarray([...field.oneOf]);
    case 'array':
      return fc.array(text, { maxLength: 2 });
    case 'record':
      return recordOf(field.fields);
  }
}

const recordOf = (table: FieldTable): fc.Arbitrary<Record<string, unknown>> =>
  fc.record(
    Object.fromEntries(Object.entries(table).map(([name, field]) => [name, valueOf(field)])),
    { requiredKeys: [] },
  );

/** Of so many fields one is nearly always wrong: few at a time. */
const configuration = fc
  .tuple(recordOf(FIELDS), fc.subarray(Object.keys(FIELDS), { minLength: 1, maxLength: 4 }))
  .map(([all, names]) => ({
    secret: SECRET,
    ...Object.fromEntries(names.filter((name) => name in all).map((name) => [name, all[name]])),
  }));

/** The configuration as the plugin server gets it; `undefined` where the Admin API refuses it. */
function accepted(config: object): Table | undefined {
  const source = { id: () => '00000000-0000-4000-8000-000000000000', now: () => 0 };
  const filled = fill(SCHEMA, { config: { ...config } }, 'insert', source);
  return validate(SCHEMA, filled) === undefined ? (filled['config'] as Table) : undefined;
}

/**
 * What Lua's patterns cannot say of a secret. Two more rules are the parser's alone and not met by these pieces: that
 * one name is no chunk of the other (`session2`), and that a database URL can be taken apart.
 */
const isTooSimple = (config: { secret?: unknown; secret_fallbacks?: unknown }): boolean =>
  [config.secret, config.secret_fallbacks]
    .flat()
    .some((secret) => typeof secret === 'string' && secretProblem(secret) !== undefined);

test('a configuration that the schema takes starts, and its cookies and redirect can be sent', () => {
  let taken = 0;
  fc.assert(
    fc.property(configuration, (config) => {
      const told = accepted(config);
      if (told === undefined || isTooSimple(config)) return;
      taken += 1;
      const { cookie, remember, logout } = parseConfig(told);
      const settings = [cookie, ...(remember ? [remember.cookie] : [])];
      const lines = settings.flatMap((one) =>
        setCookies({ ...one, secure: true }, 'x', NO_COOKIES),
      );
      for (const line of [...lines, logout.redirect ?? '']) assert.match(line, /^[ -~]*$/);
    }),
    runs(2000),
  );
  assert.ok(taken > 1000, `only ${taken} were taken`);
});

/** The fields with a pattern, by their paths in the schema. */
const patternsOf = (table: FieldTable, path: string): [string, Pattern][] =>
  Object.entries(table).flatMap(([name, field]): [string, Pattern][] => {
    if (field.type === 'record') return patternsOf(field.fields, `${path}.${name}`);
    const { pattern } = field.type === 'array' ? field.elements : { pattern: undefined, ...field };
    return pattern ? [[`${path}.${name}`, pattern]] : [];
  });

for (const [path, { js }] of patternsOf(FIELDS, 'config'))
  test(`Kong and the parser take the same texts as ${path}`, () => {
    const field = fieldAt(SCHEMA, path);
    const { match_any: any, match_none: none } = field?.elements ?? field ?? {};
    const kong = {
      type: 'string',
      ...(any && { match_any: any }),
      ...(none && { match_none: none }),
    };
    fc.assert(
      fc.property(fc.oneof(text, fc.string({ unit: 'binary' })), (value) => {
        if (value === '') return;
        assert.equal(validateField(kong as KongField, value) === undefined, js.test(value));
      }),
      runs(1000),
    );
  });
