import { plural, printable, table } from '../format.ts';
import type { Paint } from '../format.ts';
import type { Conversion, FieldReport } from './convert.ts';
import type { Finding } from './findings.ts';
import type { Found } from './found.ts';

/** What becomes of one configuration, for people. */
export function describe({ found, fields, findings }: Conversion, paint: Paint): string {
  const rows = fields.map((field) => [field.field, becomes(field), remark(field)]);
  const warnings = findings.filter(({ level }) => level === 'warning');
  const notes = findings.filter(({ level }) => level === 'note');
  return [
    `${paint('bold', printable(placeOf(found)))}\n`,
    rows.length > 0 ? `\n${table(['FIELD', 'BECOMES', ''], rows, paint)}` : '',
    listed(plural(warnings.length, 'warning'), warnings, (text) => paint('yellow', text)),
    listed(plural(notes.length, 'note'), notes, (text) => text),
  ].join('');
}

function placeOf({ where, scope }: Found): string {
  const place = scope.kind === 'global' ? 'global' : scope.kind === 'unsupported' ? '' : scope.kind;
  const name = 'name' in scope ? ` ${scope.name}` : '';
  return `${where} (${`${place}${name}`.trim()})`;
}

const becomes = ({ becomes: name, value }: FieldReport): string =>
  name === undefined ? '-' : `${name}: ${JSON.stringify(value)}`;

const remark = ({ outcome, note }: FieldReport): string =>
  note === undefined ? outcome : `${outcome}: ${note}`;

function listed(
  title: string,
  findings: readonly Finding[],
  paint: (text: string) => string,
): string {
  if (findings.length === 0) return '';
  const lines = findings.map(({ field, message }) => `  ${printable(`${field} ${message}`)}\n`);
  return `\n${paint(title)}\n${lines.join('')}`;
}
