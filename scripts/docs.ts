import { readFile, writeFile } from 'node:fs/promises';
import { format, resolveConfig } from 'prettier';
import { FIELDS } from '../lib/fields.ts';
import type { Field, FieldTable } from '../lib/field.ts';
import { examples } from './examples.ts';
import { versioned } from './version.ts';

/**
 * Writes the README's configuration table from the table of fields, the examples, and the version of package.json
 * wherever else it stands. With `--check` it only says whether all are up to date, by its exit code.
 */
const ROOT = new URL('../', import.meta.url);
const README = new URL('README.md', ROOT);
const BEGIN = '<!-- fields: written by `npm run docs` -->';
const END = '<!-- /fields -->';

function typeOf(field: Field): string {
  if (field.type === 'set') return `set of ${field.oneOf.join(', ')}`;
  if (field.type === 'string' && field.oneOf) return field.oneOf.join(' \\| ');
  return field.type;
}

function defaultOf(field: Field): string {
  if (field.required) return '**required**';
  if (!('default' in field) || field.default === undefined) return '';
  return `\`${Array.isArray(field.default) ? field.default.join(', ') : String(field.default)}\``;
}

const rows = (table: FieldTable, prefix = ''): string[] =>
  Object.entries(table).flatMap(([name, field]) => [
    `| \`${prefix}${name}\` | ${typeOf(field)} | ${defaultOf(field)} | ${field.description} |`,
    ...(field.type === 'record' ? rows(field.fields, `${name}.`) : []),
  ]);

function withTable(readme: string): string {
  const [before, rest] = split(readme, BEGIN);
  const [, after] = split(rest, END);
  const head = ['| Field | Type | Default | Meaning |', '| --- | --- | --- | --- |'];
  return [before, BEGIN, '\n\n', [...head, ...rows(FIELDS)].join('\n'), '\n\n', END, after].join(
    '',
  );
}

function split(text: string, mark: string): [before: string, after: string] {
  const at = text.indexOf(mark);
  if (at === -1) throw new Error(`README.md lacks the line ${mark}`);
  return [text.slice(0, at), text.slice(at + mark.length)];
}

const readme = await readFile(README, 'utf8');
const options = { ...(await resolveConfig('README.md')), parser: 'markdown' };
const written = {
  'README.md': await format(withTable(readme), options),
  ...examples(),
  ...(await versioned()),
};

for (const [path, text] of Object.entries(written)) {
  const file = new URL(path, ROOT);
  if (!process.argv.includes('--check')) {
    await writeFile(file, text);
  } else if ((await readFile(file, 'utf8').catch(() => '')) !== text) {
    process.stderr.write(`${path} is out of date; run 'npm run docs'\n`);
    process.exitCode = 1;
  }
}
