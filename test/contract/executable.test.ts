import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { lstat, mkdir, mkdtemp, readFile, readlink, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { readMigrations } from '../../lib/migrate.ts';
import { VERSION } from '../../lib/schema.ts';
import { Dockerfile } from '../support/dockerfile.ts';
import type { Image } from '../support/dockerfile.ts';
import { startGateway } from '../support/gateway/index.ts';
import type { Gateway } from '../support/gateway/index.ts';
import { startPostgres } from '../support/postgres.ts';
import type { Postgres } from '../support/postgres.ts';
import { isRequest, Provider } from '../support/provider.ts';
import { createSites, signInAndOut, SITES } from '../support/sites.ts';
import { createCertificate } from '../support/tls.ts';
import { startUpstream } from '../support/upstream.ts';

const fileOf = (relative: string) => fileURLToPath(new URL(`../../${relative}`, import.meta.url));

/** As Kong starts it: through the shell, in another folder, without PATH or anything else in the environment. */
const shell = (command: string, env = {}) =>
  promisify(execFile)('/bin/sh', ['-c', `exec ${command}`], { env, cwd: '/' });

/** What the commands of the base images do, where they are needed. */
const BASE_IMAGES = {
  'npm ci': (directory: string) => symlink(fileOf('node_modules'), join(directory, 'node_modules')),
  'install --directory': async (_: string, root: string) => {
    await mkdir(join(root, 'run/session-guard'), { recursive: true });
  },
};

describe('the single-file executable of the image', () => {
  let folder: string;
  let dockerfile: Dockerfile;
  let image: Image;
  let server: string;
  let cli: string;
  let postgres: Postgres;
  let databaseUrl: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'session-guard-executable-'));
    dockerfile = await Dockerfile.open(folder, BASE_IMAGES);
    image = await dockerfile.build('kong');
    const bin = join(image.root, 'usr/local/bin');
    [server, cli] = [join(bin, 'session-guard-server'), join(bin, 'session-guard')];
    postgres = await startPostgres();
    databaseUrl = await postgres.newDatabase();
  });

  after(async () => {
    await postgres.stop();
    await rm(folder, { recursive: true });
  });

  for (const args of ['-dump', '-dump --protocol protobuf', '-dump --protocol msgpack']) {
    test(`${args} says what that of the package says`, async () => {
      const [own, ofPackage] = await Promise.all([
        shell(`${server} ${args}`),
        shell(`${process.execPath} ${fileOf('dist/lib/server/main.js')} ${args}`),
      ]);
      assert.deepEqual(own, ofPackage);
      assert.equal(own.stderr, '');
      assert.ok(own.stdout.length > 5000);
    });
  }

  test('arguments are those of the program, never of the Node inside', async () => {
    assert.equal((await shell(`${server} --version`)).stdout, `${VERSION}\n`);
    assert.match((await shell(`${server} --help`)).stdout, /^session-guard-server \[options\]/);
    await assert.rejects(shell(`${server} --eval 1`), { code: 2 });
  });

  test('the image has one file under three names, which everybody may run, and its licences', async () => {
    const { mode, size } = await lstat(server);
    assert.equal(mode & 0o777, 0o755);
    assert.ok(size < 150e6, `${size} bytes`);
    for (const name of ['session-guard', 'query_session-guard-server']) {
      assert.equal(await readlink(join(image.root, 'usr/local/bin', name)), 'session-guard-server');
    }
    const doc = join(image.root, 'usr/local/share/doc/session-guard/THIRD-PARTY-LICENSES.txt');
    const licences = await readFile(doc, 'utf8');
    for (const name of ['Node.js v', 'jose ', 'pg ', 'pino ']) {
      assert.match(licences, new RegExp(`^${name}[\\d.]+`, 'm'));
    }
  });

  test('Kong in the image is told the lines of kong.conf.example and runs as itself', async () => {
    const text = await readFile(fileOf('kong.conf.example'), 'utf8');
    // Its file is at hand there.
    const lines = text.replace('#nginx_http_inc', 'nginx_http_inc');
    const expected = [...lines.matchAll(/^(\w+) = (.*)$/gm)].map(([, name = '', value = '']) => [
      `KONG_${name.toUpperCase()}`,
      value,
    ]);
    assert.deepEqual(image.env, Object.fromEntries(expected));
    const include = join(image.root, image.env['KONG_NGINX_HTTP_INCLUDE'] ?? '');
    assert.match(await readFile(include, 'utf8'), /^map "" \$session_guard_turn /m);
    assert.equal(image.user, 'kong');
    assert.equal(dockerfile.lastStage, 'kong');
  });

  test('the image of the sidecar starts the server as the user of the chart', async () => {
    const sidecar = await dockerfile.build('server');
    assert.equal(sidecar.user, '1000:1000');
    const [program = '', ...args] = sidecar.command;
    assert.deepEqual(args, ['--socket', '/run/session-guard/server.socket']);
    assert.ok((await lstat(join(sidecar.root, program))).isFile());
    assert.ok((await lstat(join(sidecar.root, 'run/session-guard'))).isDirectory());
  });

  test('under the name by which Kong 3.4 to 3.8 ask it chooses what suits that Kong', async () => {
    const query = join(image.root, 'usr/local/bin/query_session-guard-server');
    const protocolFor = async (version: string) =>
      (JSON.parse((await shell(query, { KONG_VERSION: version })).stdout) as { Protocol: string })
        .Protocol;
    assert.equal(await protocolFor('3.4.2'), 'MsgPack:1');
    assert.equal(await protocolFor('3.8.1'), 'ProtoBuf:1');
    await assert.rejects(shell(query), { code: 1, stdout: '', stderr: /query_cmd in kong\.conf/ });
  });

  test('under the name session-guard it is the command line, with the migrations inside', async () => {
    assert.equal((await shell(`${cli} --version`)).stdout, `${VERSION}\n`);
    const env = { SESSION_GUARD_DATABASE_URL: databaseUrl };
    const { stdout } = await shell(`${cli} migrate --plan --schema planned --json`, env);
    const { pending } = JSON.parse(stdout) as { pending: unknown };
    const all = (await readMigrations()).map((migration) => ({
      ...migration,
      sql: migration.sql.replaceAll(':SCHEMA', '"planned"'),
    }));
    assert.deepEqual(pending, all);
  });

  describe('as the plugin server of Kong', () => {
    let gateway: Gateway;
    let upstream: Awaited<ReturnType<typeof startUpstream>>;

    const openGateway = async (command: string) => {
      const socketPath = join(await mkdtemp(join(folder, 'kong-')), 'server.socket');
      return startGateway({
        tls: await createCertificate(),
        server: {
          socketPath,
          queryCmd: `${server} -dump`,
          startCmd: `${command} --socket ${socketPath}`,
        },
      });
    };

    before(async () => {
      upstream = await startUpstream();
      gateway = await openGateway(server);
      await createSites(gateway.adminUrl, { upstreamUrl: upstream.url, databaseUrl });
    });

    after(async () => {
      await gateway.stop();
      await upstream.close();
    });

    for (const [storage, host] of Object.entries(SITES)) {
      test(`sign in, stay in, sign out with storage ${storage}`, () => signInAndOut(gateway, host));
    }

    test('spans go to the provider that NODE_OPTIONS names, with a copy of the API of its own', async (t) => {
      const provider = await Provider.open();
      t.after(() => provider.close());
      const env = `/usr/bin/env NODE_OPTIONS=--require=${provider.module}`;
      const traced = await openGateway(`${env} ${server}`);
      t.after(() => traced.stop());
      await createSites(traced.adminUrl, { upstreamUrl: upstream.url, databaseUrl });
      await signInAndOut(traced, SITES.kong);
      await traced.stop(); // at which the rest is handed on
      const spans = await provider.spans();
      const results = spans
        .filter(isRequest)
        .map((span) => span.attributes['session_guard.result']);
      assert.deepEqual(results, ['deny_missing', 'pass', 'pass', 'logout', 'deny_revoked']);
      assert.ok(spans.some(({ name, parent }) => name === 'create' && parent !== undefined));
    });

    test('it logs lines of JSON and nothing of the Node inside', () => {
      const lines = gateway.log.filter((line) => line.includes('[session-guard:'));
      assert.ok(lines.some((line) => line.includes('"event":"listening"')));
      for (const line of lines) assert.match(line, /\[session-guard:\d+\] \{"level":/);
    });
  });
});
