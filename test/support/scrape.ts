/** One line of an exposition. */
export interface Series {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A scrape of `/metrics`, in Prometheus' text format. */
export class Scrape {
  readonly text: string;
  readonly series: readonly Series[];
  /** By name, without the suffixes of histograms. */
  readonly types: ReadonlyMap<string, string>;

  constructor(text: string) {
    const lines = text.split('\n');
    this.text = text;
    this.types = new Map(
      lines.flatMap((line) => {
        const [, name, type] = /^# TYPE (\S+) (\S+)$/.exec(line) ?? [];
        return name !== undefined && type !== undefined ? [[name, type] as const] : [];
      }),
    );
    this.series = lines.filter((line) => line !== '' && !line.startsWith('#')).map(parseLine);
  }

  /** The sum of all series of a name that have these labels; NaN if there is none. */
  value(name: string, labels: Readonly<Record<string, string>> = {}): number {
    const found = this.series.filter(
      (series) =>
        series.name === name &&
        Object.entries(labels).every(([label, value]) => series.labels[label] === value),
    );
    return found.length === 0 ? NaN : found.reduce((sum, { value }) => sum + value, 0);
  }
}

function parseLine(line: string): Series {
  const [, name = '', labels = '', value = ''] =
    /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
  if (name === '') throw new Error(`not a line of an exposition: ${line}`);
  const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)];
  return {
    name,
    labels: Object.fromEntries(pairs.map(([, label = '', text = '']) => [label, text])),
    value: Number(value),
  };
}
