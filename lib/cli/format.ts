import { styleText } from 'node:util';
import type { Io } from './command.ts';

type Style = Parameters<typeof styleText>[0];
export type Paint = (style: Style, text: string) => string;

/** Colours on a terminal, unless NO_COLOR (https://no-color.org) is set to anything but ''. */
export function painter(stream: Io['stdout'], env: Io['env']): Paint {
  const isOn = stream.isTTY === true && !env['NO_COLOR'] && env['TERM'] !== 'dumb';
  return isOn
    ? (style, text) => styleText(style, text, { validateStream: false })
    : (_, text) => text;
}

/** Text from elsewhere, with what could steer a terminal or fake a line made visible (ASVS 16.4.1). */
export const printable = (text: string): string =>
  // C0, DEL, C1, line separators, and the marks that turn the direction of writing.
  // oxlint-disable-next-line no-control-regex
  text.replaceAll(/[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/g, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return code < 0x100
      ? `\\x${code.toString(16).padStart(2, '0')}`
      : `\\u${code.toString(16).padStart(4, '0')}`;
  });

/** Columns under a head, two spaces apart. Cells are made printable here. */
export function table(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  paint: Paint,
): string {
  const safe = rows.map((row) => row.map(printable));
  const widths = head.map((title, column) =>
    Math.max(...[title, ...safe.map((row) => row[column] ?? '')].map((cell) => cell.length)),
  );
  const line = (row: readonly string[]) =>
    row
      .map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0)))
      .join('  ')
      .trimEnd();
  return [paint('bold', line(head)), ...safe.map(line)].join('\n') + '\n';
}

/** `name: value` lines with the values aligned. */
export function record(entries: readonly (readonly [string, string])[], paint: Paint): string {
  const width = Math.max(...entries.map(([name]) => name.length)) + 1;
  return entries
    .map(([name, value]) => `${paint('bold', `${name}:`.padEnd(width))} ${printable(value)}\n`)
    .join('');
}

/** A moment in milliseconds as ISO 8601, UTC, whole seconds; `undefined` for never. */
export const isoTime = (moment: number | undefined): string | undefined =>
  moment === undefined || !Number.isFinite(moment)
    ? undefined
    : new Date(moment).toISOString().replace(/\.\d+Z$/, 'Z');

/** JSON for people and programs; what could steer a terminal is escaped, as JSON allows everywhere in a string. */
export const json = (value: unknown): string =>
  `${JSON.stringify(value, undefined, 2).replaceAll(
    /[\x7f-\x9f\u2028-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )}\n`;

/** `1 session`, `2 sessions`. */
export const plural = (count: number, noun: string): string =>
  `${count} ${noun}${count === 1 ? '' : 's'}`;
