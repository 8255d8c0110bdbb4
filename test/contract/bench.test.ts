import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseResult } from '../../bench/load/index.ts';
import { parseOptions } from '../../bench/options.ts';
import { cellsOf } from '../../bench/plan.ts';
import { parseSchedstat, parseStat } from '../../bench/processes.ts';
import { listenersOn } from '../../bench/real-kong.ts';
import { figuresOf, report } from '../../bench/report.ts';
import { run } from '../../bench/run.ts';
import type { Row } from '../../bench/run.ts';
import { tampered } from '../../bench/sessions.ts';
import { median, medianRatio } from '../../bench/statistics.ts';

describe('the arithmetic of the benchmark', () => {
  test('a median is the middle, or between the two in the middle', () => {
    assert.equal(median([9, 1, 5]), 5);
    assert.equal(median([4, 1, 9, 2]), 3);
    assert.throws(() => median([]), TypeError);
  });

  test('a ratio is taken within each round', () => {
    // Of the medians it would be 10 / 2 = 5.
    assert.equal(medianRatio([10, 1, 100], [2, 1, 25]), 4);
    assert.throws(() => medianRatio([1], [1, 2]), TypeError);
  });

  test('what the generator and the scheduler say', () => {
    const line = '{"requests":7,"elapsed":1000000,"failed":0,"p50":900,"p99":1800}';
    const { requests, p99 } = parseResult(`Running 1s test\n  7 requests\n${line}\n`);
    assert.deepEqual([requests, p99], [7, 1800]);
    assert.throws(() => parseResult(line.replace('"failed":0', '"failed":2')), /2 of 7/);
    assert.throws(() => parseResult(line.replace('"requests":7', '"requests":0')), /no request/);
    assert.throws(() => parseResult('unable to connect'), /unable to connect/);
    assert.equal(parseSchedstat('1500000 200 3\n'), 1500);
    const stat = 'cpu  10 1 5 70 2 0 2 10 7 0\ncpu0 5 1 2 35 1 0 1 5 3 0\n';
    assert.deepEqual(parseStat(stat), { total: 100, stolen: 10 });
  });

  test('the sockets that listen on a port, in the table of the kernel', () => {
    const table = [
      '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode',
      '   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 41 1 0',
      '   1: 0100007F:1F41 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 42 1 0',
      '   2: 0100007F:1F40 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 43 1 0',
    ].join('\n');
    assert.deepEqual(listenersOn(8000, table), ['41']);
    assert.deepEqual(listenersOn(80, table), []);
  });

  test('tampered cookies differ from the genuine one and from each other', () => {
    const cookie = `session=${'abcXYZ09_-'.repeat(20)}`;
    const all = tampered(cookie, 512);
    assert.equal(new Set([cookie, ...all]).size, 513);
    assert.ok(all.every((one) => one.length === cookie.length && one.startsWith('session=abc')));
  });

  test('what is missing is not reported', () => {
    const cell = { peer: 'protobuf', storage: 'kong', scenario: 'valid' } as const;
    const rounds = [30, 50, 40].map((server) => {
      return {
        requests: 1000,
        rps: 1000,
        p50: 1,
        p99: 2,
        gateway: 9,
        server,
        statements: 0,
        stolen: 0,
      };
    });
    const rows: Row[] = [{ cell, talk: { calls: 7, roundTrips: 2 }, rounds }];
    const values = figuresOf(rows).map(({ name, value }) => [name, value]);
    assert.deepEqual(values, [
      ['valid, ProtoBuf: server CPU µs', 40],
      ['valid, ProtoBuf: round trips', 2],
      ['valid, ProtoBuf: SQL statements', 0],
    ]);
    assert.match(report(rows), /\| session-guard, ProtoBuf \| +1000 \|.*\| +40 \| +7 \| +2 \|/);
    assert.doesNotMatch(report(rows), /host/);
    const robbed = rounds.map((round, index) => ({ ...round, stolen: index / 10 }));
    assert.match(report([{ ...rows[0]!, rounds: robbed }]), /10 % .* middle round, 20 % .* worst/);
  });
});

describe('the options of the benchmark', () => {
  test('each sort of names narrows only itself', () => {
    const cells = cellsOf(false, ['valid', 'cookie', 'protobuf', 'stock']);
    assert.deepEqual(cells, [{ peer: 'protobuf', storage: 'cookie', scenario: 'valid' }]);
    assert.equal(new Set(cellsOf(false, ['login']).map(({ scenario }) => scenario)).size, 1);
  });

  test('a mistake is named', () => {
    assert.throws(() => parseOptions(['--only', 'valid,fast']), /no fast/);
    assert.throws(() => parseOptions(['--seconds', '0.5']), /--seconds/);
    assert.throws(() => parseOptions(['--max-stolen', 'a']), /--max-stolen/);
    assert.throws(() => parseOptions(['--worker-pid', '12,x']), /--worker-pid/);
  });
});

describe('a run of the benchmark', () => {
  test('measures what it was asked for', { timeout: 120_000 }, async () => {
    const options = parseOptions(['--quick', '--connections', '2', '--only', 'protobuf,cold,kong']);
    assert.ok(options);
    const [row, ...others] = await run(options, () => undefined);
    assert.deepEqual(others, []);
    assert.deepEqual(row?.cell, { peer: 'protobuf', storage: 'kong', scenario: 'cold' });
    assert.equal(row.talk?.roundTrips, 2);
    const [round] = row.rounds;
    assert.ok(round && round.requests > 0 && round.gateway > 0);
    assert.ok(round.server !== undefined && round.server > 0);
    assert.ok((round.statements ?? 0) >= 0.95 && (round.decryptions ?? 0) >= 0.95);
  });
});
