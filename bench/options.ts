import { parseArgs } from 'node:util';
import { PEERS, SCENARIOS, STORAGES } from './plan.ts';

export const USAGE = `npm run bench -- [options]

  --rounds <n>        rounds, each of which measures every cell once (3)
  --seconds <n>       whole seconds for a cell in a round (2)
  --connections <n>   connections of the load generator (16)
  --only <names>      of each sort only those, separated by commas:
                        peers      ${PEERS.join(' ')}
                        scenarios  ${SCENARIOS.join(' ')}
                        storages   ${STORAGES.join(' ')}
  --quick             one round of one second; a first impression in less than a minute
  --max-stolen <n>    a round is measured again where a virtual machine's host gave more than n % of the CPU time of
                      a cell to others; five times as many rounds at most
  --json              everything measured, as JSON on standard output

With KONG_ADMIN_URL and KONG_PROXY_URL a real Kong takes the place of the stand-in, and its bundled session plugin that
of the other peers:

  --worker-pid <pids> of nginx's workers (those that listen on the proxy's port)
  --server-pid <pid>  of the plugin server (the node process that a worker has started)
  --probe <path>      $BENCH_PROBE of a server that was started with --import dist/bench/probe.js
`;

export interface Options {
  readonly rounds: number;
  readonly seconds: number;
  readonly connections: number;
  readonly only: readonly string[];
  readonly quick: boolean;
  readonly json: boolean;
  /** 0 to 1. */
  readonly maxStolen: number;
  /** Of a real Kong; empty or absent = to be found. */
  readonly workerPids: readonly number[];
  readonly serverPid: number | undefined;
  readonly probe: string | undefined;
}

const KNOWN: readonly string[] = [...PEERS, ...SCENARIOS, ...STORAGES];

/** @throws Error whose message tells what is wrong; `undefined` where only help is wanted */
export function parseOptions(args: readonly string[]): Options | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      connections: { type: 'string', default: '16' },
      only: { type: 'string', default: '' },
      'max-stolen': { type: 'string', default: '100' },
      quick: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      'worker-pid': { type: 'string', default: '' },
      'server-pid': { type: 'string' },
      probe: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return undefined;
  const { quick, json, probe } = values;
  const only = listOf(values.only);
  const unknown = only.find((name) => !KNOWN.includes(name));
  if (unknown !== undefined) throw new Error(`--only: there is no ${unknown}`);
  const serverPid = values['server-pid'];
  return {
    rounds: wholeNumber('--rounds', values.rounds ?? (quick ? '1' : '3')),
    seconds: wholeNumber('--seconds', values.seconds ?? (quick ? '1' : '2')),
    connections: wholeNumber('--connections', values.connections),
    only,
    quick,
    json,
    maxStolen: wholeNumber('--max-stolen', values['max-stolen']) / 100,
    workerPids: listOf(values['worker-pid']).map((pid) => wholeNumber('--worker-pid', pid)),
    serverPid: serverPid === undefined ? undefined : wholeNumber('--server-pid', serverPid),
    probe,
  };
}

const listOf = (text: string): string[] => text.split(',').filter((name) => name !== '');

function wholeNumber(option: string, text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) {
    throw new Error(`${option} must be a whole number from 1 up`);
  }
  return value;
}
