import assert from 'node:assert/strict';
import { channel } from 'node:diagnostics_channel';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { EVENT_CODES, report } from '../../lib/events.ts';
import { logEvents, logStorage } from '../../lib/log.ts';
import type { Log } from '../../lib/log.ts';

/* docs/watching.md has every line that the log can hold, with the level at which it is written. */

const ROOT = new URL('../../', import.meta.url);
const page = readFileSync(new URL('docs/watching.md', ROOT), 'utf8');
const sources = readdirSync(new URL('lib', ROOT), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => readFileSync(new URL(`lib/${name}`, ROOT), 'utf8'));

/** Event and level of each row of the table below a heading; each row says something more. */
function documented(heading: string): [event: string, level: string][] {
  const [, rest = ''] = page.split(`\n### ${heading}\n`);
  const [section = ''] = rest.split(/\n##/);
  return [...section.matchAll(/^\| `([\w-]+)` +\| (\w+) +\| \S.{10,} \|$/gm)].map(
    ([, event = '', level = '']) => [event, level],
  );
}

/** What the code says, by a pattern with the event first. */
const inCode = (pattern: RegExp): string[][] =>
  sources.flatMap((text) => [...text.matchAll(pattern)].map(([, ...groups]) => groups));

/** A log that keeps event and level of what is written. */
function recordingLog(): { log: Log; written: [event: string, level: string][] } {
  const written: [string, string][] = [];
  const at = (level: string) => (fields: unknown) => {
    written.push([(fields as { event: string }).event, level]);
  };
  const levels = ['debug', 'info', 'warn', 'error', 'fatal'];
  const log = Object.fromEntries(levels.map((level) => [level, at(level)])) as unknown as Log;
  return { log, written };
}

const byName = (pairs: readonly [string, string][]) =>
  [...new Map(pairs)].toSorted(([a], [b]) => (a < b ? -1 : 1));

test('every event of a session', () => {
  const { log, written } = recordingLog();
  logEvents(log);
  for (const code of EVENT_CODES) report(code);
  assert.deepEqual(documented('Sessions'), written);
});

test('every event of the storage', () => {
  const { log, written } = recordingLog();
  logStorage(log);
  const names = inCode(/(?:#log|#options\.log)\('(\w+)'/g).map(([name = '']) => name);
  assert.ok(names.length > 10);
  for (const event of names) channel('session-guard.storage').publish({ event });
  assert.deepEqual(byName(documented('Database')), byName(written));
});

test('every event of the server', () => {
  const lines = inCode(/log\.(debug|info|warn|error|fatal)\(\s*\{\s*event: '([\w-]+)'/g);
  const deaths = inCode(/die\('([\w-]+)'\)/g);
  assert.ok(lines.length > 15 && deaths.length === 2);
  const expected = [
    ...lines.map(([level = '', event = '']): [string, string] => [event, level]),
    ...deaths.map(([event = '']): [string, string] => [event, 'fatal']),
  ];
  assert.deepEqual(byName(documented('Server')), byName(expected));
});
