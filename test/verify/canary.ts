import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { cli } from '../contract/cli-process.ts';
import { Cleanup } from '../e2e/support/cleanup.ts';
import { type Postgres, startPostgres } from '../support/postgres.ts';
import { startUpstream } from '../support/upstream.ts';
import { type Flow, runFlow, SERVER, type Surroundings } from './canary-flow.ts';
import { type Canaries, newCanary, sightings, spellingsOf } from './canary-marks.ts';
import { type Figure, main, type Program } from './program.ts';

export const program: Program = {
  name: 'canary',
  claim:
    'No secret, cookie, key or password is in a log, an answer, a metric, a table, a dump or what a command prints.',
  counts: 'rounds',
  defaultCount: 1,
  run: ({ count }) => {
    const cleanup = new Cleanup();
    return cleanup.around(async () => {
      const figures = await watch(count, cleanup);
      await cleanup.run();
      return figures;
    });
  },
};

async function watch(count: number, cleanup: Cleanup): Promise<Figure[]> {
  const folder = await mkdtemp(join(tmpdir(), 'session-guard-canary-'));
  cleanup.defer(() => rm(folder, { recursive: true, force: true }));
  const canaries: Canaries = new Map();
  const outputs = new Map<string, string>();
  for (let round = 0; round < count; round++) {
    for (const protocol of ['msgpack', 'protobuf']) {
      const label = `${protocol} ${round}`;
      for (const [name, text] of await outputsOf(protocol, folder, canaries, cleanup)) {
        outputs.set(`${label}: ${name}`, text);
      }
    }
  }
  const seen = sightings(canaries, outputs);
  for (const sighting of seen) console.log(sighting);
  const texts = [...outputs.values()];
  return [
    { name: 'canaries', value: canaries.size, atLeast: 40 * count },
    { name: 'outputs', value: outputs.size, atLeast: 40 * count },
    {
      name: 'outputs with nothing in them',
      value: texts.filter((text) => text === '').length,
      atMost: 0,
    },
    {
      name: 'octets',
      value: texts.reduce((sum, text) => sum + text.length, 0),
      atLeast: 1_000_000,
    },
    { name: 'canaries seen', value: seen.length, atMost: 0 },
    { name: 'planted canaries that go unseen', value: unseen(canaries, outputs), atMost: 0 },
  ];
}

/** Every canary in every spelling in the midst of every output in turn: a search that finds nothing proves nothing. */
function unseen(canaries: Canaries, outputs: ReadonlyMap<string, string>): number {
  const texts = [...outputs.values()].map((text) => text.slice(0, 10_000));
  let missed = 0;
  for (const [index, [what, value]] of [...canaries].entries()) {
    const text = texts[index % texts.length] ?? '';
    for (const spelling of spellingsOf(value)) {
      const planted = new Map([['it', `${text}${spelling}${text}`]]);
      missed += Number(sightings(new Map([[what, value]]), planted).length === 0);
    }
  }
  return missed;
}

async function outputsOf(
  protocol: string,
  folder: string,
  canaries: Canaries,
  cleanup: Cleanup,
): Promise<ReadonlyMap<string, string>> {
  const postgres = await startPostgres({ own: true });
  cleanup.defer(() => postgres.stop());
  const upstream = await startUpstream();
  cleanup.defer(() => upstream.close());
  const databaseUrl = await withPassword(await postgres.newDatabase(), canaries);
  const withoutDatabase = outage(postgres);
  const surroundings: Surroundings = { folder, databaseUrl, upstream, withoutDatabase };
  const flow = await runFlow(protocol, canaries, surroundings);
  cleanup.defer(() => flow.gateway.stop());
  const commands = await runCommands(flow, databaseUrl);
  const tables = await readTables(databaseUrl);
  const dumps = await dump(protocol, folder, flow, databaseUrl);
  await flow.stop();
  return new Map([...flow.outputs, ...commands, ...dumps, ['tables', tables]]);
}

/** A role of its own, whose password is a canary. */
async function withPassword(url: string, canaries: Canaries): Promise<string> {
  const password = newCanary();
  canaries.set('password of the database', password);
  const client = new Client({ connectionString: url });
  await client.connect();
  await client.query(`create role canary login superuser password '${password}'`);
  await client.end();
  const own = new URL(url);
  Object.assign(own, { username: 'canary', password });
  return own.href;
}

const outage =
  (postgres: Postgres): Surroundings['withoutDatabase'] =>
  async (work) => {
    await postgres.kill();
    try {
      await work();
    } finally {
      await postgres.start();
    }
  };

/** Every command that reads something, as text and as JSON, when all is well and when not. */
async function runCommands(
  { gateway, secret, cookies }: Flow,
  url: string,
): Promise<Map<string, string>> {
  const env = { SESSION_GUARD_DATABASE_URL: url, SESSION_GUARD_SECRET: secret };
  const away = { ...env, SESSION_GUARD_DATABASE_URL: url.replace(/:\d+\//, ':1/') };
  const weak = { ...env, SESSION_GUARD_SECRET: secret.slice(0, 20) };
  const [cookie = ''] = cookies;
  const handle = (await handles(url))[0] ?? '';
  const runs: [argv: string[], env: Record<string, string>][] = [
    [['list'], env],
    [['list', '--database-url', url], {}],
    [['list'], away],
    [['show', handle], env],
    [['show', 'no-such-handle'], env],
    [['inspect'], env],
    [['inspect'], { ...env, SESSION_GUARD_SECRET: `${secret}x` }],
    [['stats'], env],
    [['secret', 'check'], env],
    [['secret', 'check'], weak],
    [['doctor', '--admin-url', gateway.adminUrl], env],
    [['doctor', '--admin-url', gateway.adminUrl], { ...away, ...weak }],
    [['doctor', '--admin-url', 'http://127.0.0.1:1'], away],
    [['migrate'], env],
  ];
  const outputs = new Map<string, string>();
  for (const [index, [argv, variables]] of runs.entries()) {
    for (const form of [[], ['--json']]) {
      const stdin = argv[0] === 'inspect' ? `session=${cookie}` : '';
      const { stdout, stderr } = await cli([...argv, ...form], { stdin, env: variables });
      outputs.set(`command ${index}: ${argv[0]} ${form.join('')}`, stdout + stderr);
    }
  }
  return outputs;
}

async function query<Row extends object>(url: string, text: string): Promise<Row[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Row>(text)).rows;
  } finally {
    await client.end();
  }
}

const handles = async (url: string): Promise<string[]> =>
  (await query<{ handle: string }>(url, 'select handle from session_guard.sessions')).map(
    ({ handle }) => handle,
  );

/** Octets as hexadecimal digits, which is one of the spellings. */
async function readTables(url: string): Promise<string> {
  const tables = await query<{ name: string }>(
    url,
    "select tablename as name from pg_tables where schemaname = 'session_guard'",
  );
  const texts: string[] = [];
  for (const { name } of tables) {
    const rows = await query<{ text: string }>(
      url,
      `select t::text as text from session_guard.${name} t`,
    );
    texts.push(...rows.map(({ text }) => text));
  }
  return texts.join('\n');
}

/** Writes what is on the heap when the process ends; `planted` is put there first. */
const heapWitness = (path: string, planted: string): string =>
  `data:text/javascript,${encodeURIComponent(`
    import { writeHeapSnapshot } from 'node:v8';
    globalThis.planted = ${JSON.stringify(planted)};
    process.on('exit', () => writeHeapSnapshot(${JSON.stringify(path)}));
  `)}`;

/** The query command, which Kong runs with its whole environment, secrets of vaults among it. */
async function dump(
  protocol: string,
  folder: string,
  { secret }: Flow,
  url: string,
): Promise<Map<string, string>> {
  const path = join(folder, `${protocol}.heapsnapshot`);
  const mark = newCanary();
  const args = ['--import', heapWitness(path, mark), SERVER, '-dump', '--protocol', protocol];
  const env = { SESSION_SECRET: secret, KONG_PG_PASSWORD: secret, DATABASE_URL: url };
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let printed = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => (printed += chunk.toString()));
  }
  await once(child, 'close');
  const heap = await readFile(path, 'latin1');
  if (!heap.includes(mark)) throw new Error('the heap does not show what is on it');
  return new Map([
    ['dump', printed],
    ['heap of the dump', heap],
  ]);
}

await main(import.meta.url, program);
