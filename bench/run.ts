import { setTimeout as sleep } from 'node:timers/promises';
import { Cleanup } from '../test/e2e/support/cleanup.ts';
import { openBench } from './bench.ts';
import type { Bench } from './bench.ts';
import { check, measure } from './cell.ts';
import type { Asking, Measurement, Talk } from './cell.ts';
import type { Options } from './options.ts';
import { generator } from './load/index.ts';
import { cellsOf, isSignedIn, isSingleUse } from './plan.ts';
import type { Cell } from './plan.ts';
import { realKong } from './real-kong.ts';
import { tampered } from './sessions.ts';

/** What was measured of one cell, a round at each index. */
export interface Row {
  readonly cell: Cell;
  /** Absent with a real Kong. */
  readonly talk: Talk | undefined;
  readonly rounds: readonly Measurement[];
}

const INVALID = 512;
/** Requests per second that are reckoned with, whatever was served before: at least, and of an unknown cell. */
const FLOOR = 2000;
const CEILING = 4000;
/** More cookies than were used in the same time before. */
const RESERVE = 2;
/** A process that has served fewer is still being compiled; for this long at most it is waited for. */
const WARM_REQUESTS = 2000;
const WARM_SECONDS = 4;
/** Requests that are looked at one by one. */
const SAMPLES = 3;
/** Rounds that are begun for each that is asked for, at most. */
const ATTEMPTS = 5;
/** What a cell leaves to be done behind its answers is done before the next one is measured. */
const PAUSE_MS = 100;

/** Measures the cells, all of them in each round, and resolves with what each cost in each. */
export async function run(options: Options, tell: (line: string) => void): Promise<Row[]> {
  const cells = cellsOf(realKong() !== undefined, options.only);
  const cleanup = new Cleanup();
  try {
    tell(`starting; the load comes from ${await generator()}`);
    const bench = await openBench(cells, { options, cleanup });
    return await new Rounds(bench, options, tell).run(cells);
  } finally {
    await cleanup.run();
  }
}

class Rounds {
  readonly #bench: Bench;
  readonly #options: Options;
  readonly #tell: (line: string) => void;
  /** Requests per second of each cell so far. */
  readonly #rates = new Map<Cell, number>();

  constructor(bench: Bench, options: Options, tell: (line: string) => void) {
    this.#bench = bench;
    this.#options = options;
    this.#tell = tell;
  }

  async run(cells: readonly Cell[]): Promise<Row[]> {
    const { rounds, quick } = this.#options;
    const talks = new Map<Cell, Talk | undefined>();
    const calm: ReadonlyMap<Cell, Measurement>[] = [];
    for (const cell of cells) talks.set(cell, await check(await this.#asking(cell, SAMPLES)));
    this.#tell('warming up');
    for (const cell of quick ? oneOfEachPeer(cells) : cells) await this.#warmUp(cell, quick);
    for (let attempt = 0; calm.length < rounds && attempt < rounds * ATTEMPTS; attempt++) {
      this.#tell(`round ${calm.length + 1} of ${rounds}`);
      // There and back, so that nothing always follows the same.
      const round = await this.#round(attempt % 2 === 0 ? cells : cells.toReversed());
      if (round) calm.push(round);
    }
    if (calm.length === 0)
      throw new Error('no round had as much CPU time as --max-stolen asks for');
    return cells.map((cell) => {
      return { cell, talk: talks.get(cell), rounds: calm.map((round) => round.get(cell)!) };
    });
  }

  /** Every cell once; `undefined` as soon as one of them had too little of the machine. */
  async #round(cells: readonly Cell[]): Promise<ReadonlyMap<Cell, Measurement> | undefined> {
    const measured = new Map<Cell, Measurement>();
    for (const cell of cells) {
      const measurement = await this.#measure(cell, this.#options.seconds);
      if (measurement.stolen > this.#options.maxStolen) return undefined;
      measured.set(cell, measurement);
    }
    return measured;
  }

  async #warmUp(cell: Cell, isQuick: boolean): Promise<void> {
    const limit = isQuick ? 1 : WARM_SECONDS;
    for (let served = 0, second = 0; served < WARM_REQUESTS && second < limit; second++) {
      served += (await this.#measure(cell, 1)).rps;
    }
  }

  async #measure(cell: Cell, seconds: number): Promise<Measurement> {
    const known = this.#rates.get(cell);
    const rate = known === undefined ? CEILING : Math.max(FLOOR, known * RESERVE);
    const asking = await this.#asking(cell, Math.ceil(rate * seconds));
    const { connections } = this.#options;
    await sleep(PAUSE_MS);
    const measurement = await measure(asking, { seconds, connections });
    this.#rates.set(cell, measurement.rps);
    return measurement;
  }

  /** @param count of cookies, where each can be used only once */
  async #asking(cell: Cell, count: number): Promise<Asking> {
    const { common, targets } = this.#bench;
    const target = targets[cell.peer];
    if (target === undefined) throw new TypeError(`${cell.peer} was not started`);
    const cookies = await this.#cookies(cell, count);
    const { username } = isSignedIn(cell) ? common.owner : common.anonymous;
    return { target, cell, cookies, key: common.key, username };
  }

  async #cookies(cell: Cell, count: number): Promise<readonly string[]> {
    const { mint } = this.#bench;
    const { peer, storage, scenario } = cell;
    const warm = await this.#bench.warm(peer, storage);
    if (isSingleUse(cell)) return mint.mint({ storage, count, due: scenario === 'renewal' });
    if (scenario === 'valid') return warm;
    if (scenario === 'invalid') return tampered(warm[0] ?? '', INVALID);
    return [''];
  }
}

const oneOfEachPeer = (cells: readonly Cell[]): Cell[] =>
  cells.filter((cell, index) => index === cells.findIndex(({ peer }) => peer === cell.peer));
