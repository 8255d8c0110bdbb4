import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { createLog } from '../../../lib/log.ts';
import type { LogLevel } from '../../../lib/log.ts';

/** A path for a socket, in a directory that goes when the test ends. */
export function socketPath(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'server-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return join(dir, `${randomBytes(3).toString('hex')}.socket`);
}

/** A real log whose lines are kept. */
export function memoryLog(level: LogLevel = 'debug') {
  const lines: string[] = [];
  const log = createLog(level, { write: (line: string) => void lines.push(line) });
  const events = () => lines.map((line) => (JSON.parse(line) as { event?: string }).event);
  return { log, lines, events };
}
