import { printable } from '../format.ts';
import { findingsOf, isGiven } from './findings.ts';
import type { Finding } from './findings.ts';
import type { Fields, Found } from './found.ts';
import { BUNDLED_FIELDS, isOurs, RENAMED } from './names.ts';
import { noteOn } from './notes.ts';
import { DATABASE_REFERENCE, judgeSecret } from './secret.ts';
import { defaultOf, problemOf, withinRange } from './values.ts';

type Outcome = 'same' | 'renamed' | 'changed' | 'dropped';

/** What becomes of one field of the bundled plugin's configuration. */
export interface FieldReport {
  readonly field: string;
  readonly outcome: Outcome;
  /** The name in session-guard's configuration, and the value there. Absent where the field is dropped. */
  readonly becomes?: string;
  readonly value?: unknown;
  readonly note?: string;
}

export interface Conversion {
  readonly found: Found;
  readonly fields: readonly FieldReport[];
  readonly findings: readonly Finding[];
  /** The equivalent for session-guard, vault references in place of secrets; `undefined` where there is none. */
  readonly config: Fields | undefined;
}

/** Translates a configuration of the bundled plugin. What it returns has no secret in it. */
export function convert(found: Found): Conversion {
  const { reference, findings } = judgeSecret(found.config['secret']);
  const translated = Object.entries(found.config)
    .filter(([field]) => isGiven(found.config, field))
    .map(([field, value]) => translate(field, value, found.config, reference));
  const { fields, config, problem } = settle(translated);
  if (found.scope.kind === 'unsupported') findings.push(unsupported(found.scope.name));
  if (problem !== undefined) findings.push(problem);
  findings.push(...findingsOf(found, config), ...refusals(fields));
  const isPossible = problem === undefined && found.scope.kind !== 'unsupported';
  return { found, fields, findings, config: isPossible ? complete(config, reference) : undefined };
}

const dropped = (field: string, note: string): FieldReport => ({ field, outcome: 'dropped', note });

function translate(field: string, given: unknown, all: Fields, reference: string): FieldReport {
  const becomes = RENAMED[field] ?? field;
  if (!BUNDLED_FIELDS.has(field) || !isOurs(becomes)) {
    const isName = /^[\w-]{1,64}$/.test(field); // anything else may be a value that lost its place
    return dropped(isName ? field : '(no name)', 'no field of the session plugin');
  }
  if (field === 'secret') return report(field, field, given, reference);
  const old = Object.keys(RENAMED).find((name) => RENAMED[name] === field);
  if (old !== undefined && isGiven(all, old)) return dropped(field, `overridden by ${old}`);
  const value = withinRange(becomes, meant(field, given));
  if (typeof value === 'string' && printable(value) !== value) {
    return dropped(field, `has control characters${insteadOf(becomes)}`);
  }
  return report(field, becomes, given, value);
}

function report(field: string, becomes: string, given: unknown, value: unknown): FieldReport {
  const note = noteOn(field, value);
  const isChanged = note?.isChange === true || (given !== value && field !== 'secret');
  const outcome = isChanged ? 'changed' : becomes === field ? 'same' : 'renamed';
  const was = given !== value && field !== 'secret' ? `was ${JSON.stringify(given)}` : undefined;
  const texts = [was, note?.text].filter((text) => text !== undefined).join('; ');
  return { field, outcome, becomes, value, ...(texts !== '' && { note: texts }) };
}

/** What the bundled plugin makes of an old value; YAML 1.1 reads `off` as false. */
function meant(field: string, value: unknown): unknown {
  if (field === 'cookie_idletime') return value ?? 0;
  if (field === 'cookie_samesite' && (value === 'off' || value === false)) return 'Lax';
  return value;
}

const insteadOf = (field: string): string => {
  const value = defaultOf(field);
  return value === undefined ? '' : `; the default ${JSON.stringify(value)} applies`;
};

/** Drops the fields that do not go together, as the checks of session-guard name them. */
function settle(translated: readonly FieldReport[]): {
  fields: FieldReport[];
  config: Fields;
  problem: Finding | undefined;
} {
  const fields = [...translated];
  for (;;) {
    const config = configOf(fields);
    const problem = problemOf(config);
    if (problem === undefined) return { fields, config, problem };
    const { field, sentence } = problem;
    const index = fields.findIndex(({ becomes }) => becomes === field);
    const found = fields[index];
    if (found === undefined) {
      const finding = { level: 'warning', code: 'impossible', field, message: sentence } as const;
      return { fields, config, problem: finding };
    }
    fields[index] = dropped(found.field, `${sentence}${insteadOf(field)}`);
  }
}

const configOf = (fields: readonly FieldReport[]): Fields =>
  Object.fromEntries(
    fields.flatMap(({ becomes, value }) =>
      becomes === undefined || becomes === 'secret' ? [] : [[becomes, value]],
    ),
  );

/** The secret first, and what storage kong needs beside it. */
function complete({ storage, ...rest }: Fields, reference: string): Fields {
  return {
    secret: reference,
    ...(storage !== undefined && { storage }),
    ...((storage === 'kong' || storage === 'postgres') && {
      postgres: { url: DATABASE_REFERENCE },
    }),
    ...rest,
  };
}

const unsupported = (scope: string): Finding => ({
  level: 'warning',
  code: 'scope_unsupported',
  field: scope,
  message: 'cannot have a session plugin: attach it to a route, a service or globally',
});

const refusals = (fields: readonly FieldReport[]): Finding[] =>
  fields
    .filter(({ outcome, note }) => outcome === 'dropped' && !note?.startsWith('overridden'))
    .map(({ field, note = '' }) => ({
      level: 'warning',
      code: 'dropped',
      field,
      message: `is dropped: ${note}`,
    }));
