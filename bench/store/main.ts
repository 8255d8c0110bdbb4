import { cpus, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { CANDIDATES, compareSettings } from './churn.ts';
import { figure } from './figures.ts';
import { compareSizes } from './growth.ts';

/*
 * `npm run bench:store [-- --rows 10000,1000000 --rounds 15 --churn 20000]`: what sessions cost in Postgres. Needs about
 * 1.5 kB of disk per row, and a minute for each million of them. `--churn 0` leaves the comparison of settings out.
 */
const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '10000,1000000' },
    rounds: { type: 'string', default: '15' },
    churn: { type: 'string', default: '20000' },
  },
});

function wholeNumber(option: string, text: string, least: number): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < least) {
    throw new TypeError(`--${option} must be a whole number from ${least} up, not ${text}`);
  }
  return value;
}

const sizes = values.rows.split(',').map((text) => wholeNumber('rows', text, 1000));
const rounds = wholeNumber('rounds', values.rounds, 1);
const churned = wholeNumber('churn', values.churn, 0);

const [cpu] = cpus();
const memory = figure(totalmem() / 2 ** 30);
console.log(`${cpus().length} × ${cpu?.model}, ${memory} GiB, Node ${process.versions.node}`);
await compareSizes(sizes, rounds);
if (churned > 0) await compareSettings(CANDIDATES, churned);
