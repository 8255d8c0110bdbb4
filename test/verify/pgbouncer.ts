import { execFileSync, spawn } from 'node:child_process';
import { chmod, chown, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Cleanup } from '../e2e/support/cleanup.ts';
import { query } from '../support/chaos/sql.ts';
import { identityOf, LOGOUT, Stage } from '../support/chaos/stage.ts';
import { startPostgres } from '../support/postgres.ts';
import { type Figure, main, type Program } from './program.ts';

/** Fewer than the plugin's pools have connections, so that they share. */
const SERVER_CONNECTIONS = 2;
/** Milliseconds for a revocation to arrive on another node. */
const PATIENCE = 5000;

/** Where Debian puts it. */
function hasPgbouncer(): boolean {
  try {
    execFileSync('pgbouncer', ['--version'], { env: PATH, stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

const PATH = { PATH: `${process.env['PATH'] ?? ''}:/usr/sbin` };

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** PgBouncer in transaction mode in front of the database; resolves with the URL through it. */
async function startPgbouncer(url: string, cleanup: Cleanup): Promise<string> {
  const { hostname, port, pathname, username, password } = new URL(url);
  const folder = await mkdtemp(join(tmpdir(), 'session-guard-pgbouncer-'));
  cleanup.defer(() => rm(folder, { recursive: true, force: true }));
  const through = new URL(url);
  through.port = String(await freePort());
  const file = join(folder, 'pgbouncer.ini');
  const settings = [
    '[databases]',
    `* = host=${hostname} port=${port}`,
    '[pgbouncer]',
    'listen_addr = 127.0.0.1',
    `listen_port = ${through.port}`,
    'unix_socket_dir =',
    'auth_type = plain',
    `auth_file = ${join(folder, 'users')}`,
    'pool_mode = transaction',
    `default_pool_size = ${SERVER_CONNECTIONS}`,
  ];
  await writeFile(file, `${settings.join('\n')}\n`);
  await writeFile(join(folder, 'users'), `"${username}" "${password}"\n`);
  const nobody = 65_534;
  const owner = process.getuid?.() === 0 ? { uid: nobody, gid: nobody } : undefined; // it refuses root
  if (owner) {
    await chmod(folder, 0o700);
    for (const path of [folder, file, join(folder, 'users')]) {
      await chown(path, owner.uid, owner.gid);
    }
  }
  const child = spawn('pgbouncer', [file], { env: PATH, stdio: 'ignore', cwd: folder, ...owner });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  cleanup.defer(() => (child.kill('SIGKILL'), ended));
  await untilAnswering(through.href, pathname);
  return through.href;
}

async function untilAnswering(url: string, what: string): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const isThere = await query(url, 'select 1').then(
      () => true,
      () => false,
    );
    if (isThere) return;
    await sleep(50);
  }
  throw new Error(`PgBouncer does not lead to ${what}`);
}

async function isRefusedSoon(ask: () => Promise<{ status: number }>): Promise<boolean> {
  const end = performance.now() + PATIENCE;
  while (performance.now() < end) {
    if ((await ask()).status === 403) return true;
    await sleep(20);
  }
  return false;
}

interface Counts {
  verified: number;
  renewed: number;
  refusedHere: number;
  refusedThere: number;
}

/** One person: sign in on one node, verify on both, renew on the other, sign out, be refused on both. */
async function live(stage: Stage, url: string, counts: Counts): Promise<void> {
  const plain = { scheme: 'http' } as const;
  const person = await stage.person();
  const here = await stage.signIn(person);
  const there = here.copy(stage.gateways[1]);
  for (const browser of [here, there]) {
    if (identityOf(await browser.ask(plain)) === person.id) counts.verified++;
  }
  // 50 minutes of its hour are over, and no node remembers otherwise.
  await query(
    url,
    `update session_guard.sessions set renewed_at = renewed_at - interval '50 min',
     authenticated_at = authenticated_at - interval '50 min',
     started_at = started_at - interval '50 min' where consumer_id = $1`,
    [person.id],
  );
  await query(url, "select pg_notify('session_guard', '')");
  const before = there.cookies();
  for (let attempt = 0; there.cookies() === before && attempt < 200; attempt++) {
    await there.ask(plain);
    await sleep(20);
  }
  if (identityOf(await there.ask(plain)) === person.id && there.cookies() !== before)
    counts.renewed++;
  const cookie = there.cookies();
  await there.ask({ ...plain, ...LOGOUT });
  if ((await there.ask({ ...plain, cookie })).status === 403) counts.refusedThere++;
  if (await isRefusedSoon(() => here.ask({ ...plain, cookie }))) counts.refusedHere++;
}

export async function run(people: number): Promise<Figure[] | undefined> {
  if (!hasPgbouncer()) return undefined;
  const cleanup = new Cleanup();
  try {
    const postgres = await startPostgres();
    cleanup.defer(() => postgres.stop());
    const url = await postgres.newDatabase();
    const through = await startPgbouncer(url, cleanup);
    const stage = await Stage.open({
      protocol: 'protobuf',
      nodes: 2,
      config: {
        storage: 'kong',
        cache_ttl: 10, // far above PATIENCE: what arrives sooner arrives by LISTEN
        postgres: { url: through, listen_url: url, prepared: false },
      },
    });
    cleanup.defer(() => stage.close());
    const counts: Counts = { verified: 0, renewed: 0, refusedHere: 0, refusedThere: 0 };
    for (let index = 0; index < people; index++) await live(stage, url, counts);
    return [
      { name: 'sessions verified on two nodes', value: counts.verified, atLeast: 2 * people },
      { name: 'renewed on the other node', value: counts.renewed, atLeast: people },
      { name: 'refused after the sign-out there', value: counts.refusedThere, atLeast: people },
      { name: 'refused on the first node, by LISTEN', value: counts.refusedHere, atLeast: people },
    ];
  } finally {
    await cleanup.run();
  }
}

export const program: Program = {
  name: 'pgbouncer',
  claim:
    'Behind PgBouncer in transaction mode everything works: prepared: false for the pool, listen_url for LISTEN.',
  counts: 'people who sign in, renew and sign out',
  defaultCount: 200,
  async run({ count }) {
    const figures = await run(count);
    if (figures === undefined) console.log('SKIPPED: pgbouncer is not installed');
    return figures ?? [];
  },
};

await main(import.meta.url, program);
