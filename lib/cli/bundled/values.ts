import { randomBytes } from 'node:crypto';
import { parseConfig } from '../../config.ts';
import { SessionError } from '../../errors.ts';
import { FIELDS } from '../../fields.ts';
import { isOurs } from './names.ts';

/** Stand where a vault puts the real ones; session-guard checks them when it has them. */
const SECRET = randomBytes(32).toString('base64');
const POSTGRES = { url: 'postgres://user@host/database' };

/** What session-guard finds wrong with a configuration: the field, and a sentence that repeats no value. */
export interface Problem {
  readonly field: string;
  readonly sentence: string;
}

/** Checks as an instance does at its start; `secret` and `postgres` are taken for granted. */
export function problemOf(config: Readonly<Record<string, unknown>>): Problem | undefined {
  const asOctets = Object.entries(config).map(([name, value]) => [name, octetsOf(value)]);
  try {
    parseConfig({ ...Object.fromEntries(asOctets), secret: SECRET, postgres: POSTGRES });
    return undefined;
  } catch (error) {
    if (!(error instanceof SessionError)) throw error;
    const [, field = '', sentence = ''] = /^config\.(\w+)\S*: (.*)$/s.exec(error.message) ?? [];
    return { field, sentence };
  }
}

/** Kong counts the octets of a string where JavaScript counts UTF-16 units. */
const octetsOf = (value: unknown): unknown =>
  typeof value === 'string' ? Buffer.from(value).toString('latin1') : value;

/** A number above the field's range, cut to its upper end; anything else as it is. */
export function withinRange(field: string, value: unknown): unknown {
  if (!isOurs(field) || typeof value !== 'number') return value;
  const definition = FIELDS[field];
  return 'between' in definition ? Math.min(value, definition.between[1]) : value;
}

/** The default of a field; `undefined` where it has none. */
export const defaultOf = (field: string): unknown => {
  if (!isOurs(field)) return undefined;
  const definition = FIELDS[field];
  return 'default' in definition ? definition.default : undefined;
};
