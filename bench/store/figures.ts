/** The value that the given part (0 to 1) of them does not exceed. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((one, other) => one - other);
  const index = Math.max(0, Math.ceil(part * sorted.length) - 1);
  const value = sorted[index];
  if (value === undefined) throw new RangeError('no values');
  return value;
}

export const median = (values: readonly number[]): number => quantile(values, 0.5);

/** A number in a table: three digits that say something, thousands apart. */
export function figure(value: number): string {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toLocaleString('en', { maximumFractionDigits: digits });
}

/** Prints a table in Markdown, numbers to the right. */
export function print(
  title: string,
  head: readonly string[],
  rows: readonly (readonly string[])[],
): void {
  const widths = head.map((cell, column) =>
    Math.max(cell.length, 4, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const pad = (cell: string, column: number) =>
    column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0);
  const line = (cells: readonly string[]) => `| ${cells.map(pad).join(' | ')} |`;
  const rule = widths.map((width, column) =>
    column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`,
  );
  console.log(`\n${title}\n`);
  for (const cells of [head, rule, ...rows]) console.log(line(cells));
}
