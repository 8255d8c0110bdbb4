import assert from 'node:assert/strict';
import { test } from 'node:test';
import { report } from '../../../lib/events.ts';
import { logEvents } from '../../../lib/log.ts';
import { memoryLog } from './harness.ts';

test('a line is one JSON object with the level in words', () => {
  const { log, lines } = memoryLog();
  log.warn({ event: 'x' }, 'two\nlines');
  assert.equal(lines.length, 1);
  assert.equal(lines[0]!.trimEnd().includes('\n'), false);
  const { level, event, msg, time } = JSON.parse(lines[0]!) as Record<string, string>;
  assert.deepEqual([level, event, msg], ['warn', 'x', 'two\nlines']);
  assert.ok(Number.isFinite(Date.parse(time!)));
});

test('an error is its name, code, message, stack and cause, and nothing else', () => {
  const { log, lines } = memoryLog();
  // Errors of pg carry the rejected row in `detail`.
  const err = Object.assign(new Error('duplicate', { cause: new Error('below') }), {
    code: '23505',
    detail: 'Key (key)=(hush) already exists.',
    parameters: ['hush'],
  });
  log.error({ err }, 'failed');
  const line = JSON.parse(lines[0]!) as { err: Record<string, unknown> };
  assert.deepEqual(Object.keys(line.err), ['type', 'code', 'message', 'stack', 'cause']);
  assert.equal(line.err['cause'], 'below');
  assert.doesNotMatch(lines[0]!, /hush/);
});

test('what is thrown and is no error is logged as text', () => {
  const { log, lines } = memoryLog();
  log.error({ err: 'thrown' }, 'failed');
  assert.deepEqual((JSON.parse(lines[0]!) as { err: unknown }).err, { message: 'thrown' });
});

test('lines below the level are not written', () => {
  const { log, lines } = memoryLog('error');
  log.warn({}, 'not this');
  log.error({}, 'this');
  assert.equal(lines.length, 1);
});

test('every event of a session is a line; one that concerns none is not repeated within a second', (t) => {
  t.mock.method(performance, 'now', () => clock);
  let clock = 10_000;
  const { log, lines } = memoryLog();
  logEvents(log);
  for (let i = 0; i < 3; i++) report('session_created', { session: { handle: `h${i}` } });
  for (let i = 0; i < 5; i++) report('store_unavailable', { reason: 'timeout' });
  report('handler_failed');
  clock += 1001;
  report('store_unavailable');
  const seen = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  assert.deepEqual(
    seen.map(({ level, event, handle, reason, omitted }) => [
      level,
      event,
      handle ?? reason ?? omitted,
    ]),
    [
      ['info', 'session_created', 'h0'],
      ['info', 'session_created', 'h1'],
      ['info', 'session_created', 'h2'],
      ['error', 'store_unavailable', 'timeout'],
      ['error', 'handler_failed', undefined],
      ['error', 'store_unavailable', 4],
    ],
  );
});

test('what a client can repeat with one session is a line a minute, with the number of those left out', (t) => {
  let clock = 100_000;
  t.mock.method(performance, 'now', () => clock);
  const { log, lines } = memoryLog();
  logEvents(log);
  const repeat = () => {
    for (let i = 0; i < 4; i++) report('session_bound_elsewhere', { session: { handle: 'h' } });
  };
  repeat();
  report('session_bound_elsewhere', { session: { handle: 'other' } });
  for (let i = 0; i < 2; i++) report('session_limit', { session: { consumerId: 'c' } });
  for (let i = 0; i < 2; i++) report('session_ended', { session: { handle: 'h' } });
  clock += 59_999;
  repeat();
  clock += 1;
  repeat();
  const seen = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  assert.deepEqual(
    seen.map(({ event, handle, omitted }) => [event, handle, omitted]),
    [
      ['session_bound_elsewhere', 'h', undefined],
      ['session_bound_elsewhere', 'other', undefined],
      ['session_limit', undefined, undefined],
      ['session_ended', 'h', undefined],
      ['session_ended', 'h', undefined],
      ['session_bound_elsewhere', 'h', 7],
    ],
  );
});

test('a line tells the route and the instance, and of a session its handle alone', () => {
  const { log, lines } = memoryLog();
  logEvents(log);
  const session = { handle: 'h', family: 'f', consumerId: 'c', audience: 'a', key: 'k' };
  report('session_replayed', { session, at: { route: 'r1', instance: 'shop' } });
  const { level, event, handle, route, instance, ...rest } = JSON.parse(lines.at(-1) ?? '') as {
    [field: string]: unknown;
  };
  assert.deepEqual([level, event, handle, route, instance], ['warn', event, 'h', 'r1', 'shop']);
  assert.deepEqual(Object.keys(rest).toSorted(), ['msg', 'pid', 'time']);
});
