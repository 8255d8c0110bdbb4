import { send } from '../test/support/client.ts';
import { generate } from './load/index.ts';
import { isGuard, isSingleUse } from './plan.ts';
import type { Cell } from './plan.ts';
import { total } from './probe.ts';
import { cpuMicroseconds, machineTime } from './processes.ts';
import type { Target } from './target.ts';

/** What one request costs. Times in microseconds; absent where it does not apply or nobody can tell. */
export interface Measurement {
  readonly requests: number;
  readonly rps: number;
  readonly p50: number;
  readonly p99: number;
  /** CPU time of the gateway, all its workers together. */
  readonly gateway: number;
  /** CPU time of the plugin server. */
  readonly server?: number;
  readonly statements?: number;
  readonly decryptions?: number;
  /** Share of the machine's CPU time that the hypervisor gave to others, 0 to 1. */
  readonly stolen: number;
}

/** What Kong and the plugin server said to each other for one request. */
export interface Talk {
  readonly calls: number;
  readonly roundTrips: number;
}

export interface Asking {
  readonly target: Target;
  readonly cell: Cell;
  /** Cookie headers, used in turn. */
  readonly cookies: readonly string[];
  /** Of key-auth. */
  readonly key: string;
  /** Who must have reached the upstream. */
  readonly username: string;
}

const hostOf = ({ target, cell }: Asking): string => {
  const host = target.hosts[cell.storage];
  if (host === undefined) throw new TypeError(`${cell.peer} has no storage ${cell.storage}`);
  return host;
};

/**
 * One request with each cookie: has the plugin run and done what the scenario is about? Throws where it has not, since
 * its figures would be those of something else. Resolves with what was said for the last.
 */
export async function check(asking: Asking): Promise<Talk | undefined> {
  const { target, cell, cookies, key, username } = asking;
  let talk: Talk | undefined;
  for (const cookie of cookies) {
    const reply = await send({ proxyUrl: target.proxyUrl, proxySslUrl: '' }, hostOf(asking), {
      scheme: 'http',
      cookie,
      headers: cell.scenario === 'login' ? { apikey: key } : {},
    });
    const what = `${cell.peer} ${cell.storage} ${cell.scenario}`;
    if (reply.status !== 200) throw new Error(`${what}: status ${reply.status} ${reply.body}`);
    if (reply.body !== username) throw new Error(`${what}: "${reply.body}" reached the upstream`);
    const setsCookie = cell.scenario === 'renewal' || cell.scenario === 'login';
    const isSession = isGuard(cell.peer) || cell.peer === 'bundled';
    if (setsCookie && isSession && reply.setCookies.length !== 1) {
      throw new Error(`${what}: ${reply.setCookies.length} cookies were set`);
    }
    const conversation = await target.conversation?.(String(reply.headers['x-kong-request-id']));
    if (conversation) {
      talk = { calls: conversation.calls.length, roundTrips: conversation.roundTrips };
    }
  }
  return talk;
}

interface Account {
  readonly gateway: number;
  readonly server: number | undefined;
  readonly statements: number | undefined;
  readonly decryptions: number | undefined;
}

async function account({ gatewayPids, serverPid, probe }: Target): Promise<Account> {
  const gateways = await Promise.all(gatewayPids.map(cpuMicroseconds));
  const counts = await probe?.counts();
  return {
    gateway: gateways.reduce((sum, time) => sum + time, 0),
    server: serverPid === undefined ? undefined : await cpuMicroseconds(serverPid),
    statements: counts && total(counts),
    decryptions: counts?.decryptions,
  };
}

/** Puts load on the cell and resolves with what a request cost. */
export async function measure(
  asking: Asking,
  { seconds, connections }: { seconds: number; connections: number },
): Promise<Measurement> {
  const { target, cell, cookies, key } = asking;
  const [before, start] = [await account(target), await machineTime()];
  const { requests, elapsed, p50, p99 } = await generate({
    url: target.proxyUrl,
    host: hostOf(asking),
    cookies,
    ...(cell.scenario === 'login' && { key }),
    seconds,
    connections,
  });
  const [after, end] = [await account(target), await machineTime()];
  if (isSingleUse(cell) && requests > cookies.length) {
    throw new Error(`${cell.scenario}: ${requests} requests with ${cookies.length} cookies`);
  }
  const each = (name: keyof Account): number | undefined => {
    const [from, to] = [before[name], after[name]];
    return from === undefined || to === undefined ? undefined : (to - from) / requests;
  };
  const measured = withoutAbsent({
    requests,
    rps: requests / (elapsed / 1e6),
    p50,
    p99,
    gateway: each('gateway') ?? NaN,
    server: each('server'),
    statements: each('statements'),
    decryptions: each('decryptions'),
    stolen: (end.stolen - start.stolen) / Math.max(1, end.total - start.total),
  });
  checkStatements(cell, measured);
  return measured;
}

const withoutAbsent = (fields: {
  [name in keyof Measurement]: Measurement[name] | undefined;
}): Measurement =>
  Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined),
  ) as unknown as Measurement;

/** Statements that a request must at least have sent if it did what it is measured for. */
const STATEMENTS = { valid: 0, cold: 0.95, renewal: 0.95, login: 0.95, invalid: 0, anonymous: 0 };

function checkStatements({ peer, storage, scenario }: Cell, { statements }: Measurement): void {
  if (statements === undefined || storage !== 'kong') return;
  const least = isGuard(peer) ? STATEMENTS[scenario] : 0;
  if (statements < least) {
    throw new Error(`${peer} ${scenario}: ${statements.toFixed(2)} statements for each request`);
  }
}
