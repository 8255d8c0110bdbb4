export type Level = 'debug' | 'info' | 'notice' | 'warn' | 'error' | 'crit';

const KEPT = 10_000;

/** Kong's error log: the newest lines, `[level] message`. */
export class ErrorLog {
  readonly lines: string[] = [];
  readonly #onLine: ((line: string) => void) | undefined;

  constructor(onLine?: (line: string) => void) {
    this.#onLine = onLine;
  }

  /** `source` is the plugin whose code logs, if one does. */
  write(level: Level, message: string, source?: string): void {
    const line = `[${level}] [kong] ${source === undefined ? '' : `[${source}] `}${message}`;
    if (this.lines.push(line) > KEPT) this.lines.shift();
    this.#onLine?.(line);
  }
}
