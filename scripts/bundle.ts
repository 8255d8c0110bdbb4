import { execFile } from 'node:child_process';
import {
  chmod,
  copyFile,
  mkdir,
  mkdtemp,
  readFile,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { build } from 'esbuild';
import type { Plugin } from 'esbuild';
import { inject } from 'postject';
import { readMigrationFiles } from '../lib/migration-files.ts';
import { licensesOf } from './executable/licenses.ts';

/**
 * `npm run bundle`: the plugin server and the command line as one executable that needs neither Node nor a file
 * beside it, `<prefix>/bin/session-guard-server`, with links for its other names (executable/entry.ts). It is the Node
 * that runs this script with a bundle inside (https://nodejs.org/docs/latest-v20.x/api/single-executable-applications.html),
 * so it runs where that one would: same system, architecture and C library.
 */
const ENTRY = fileURLToPath(new URL('executable/entry.ts', import.meta.url));
const NAME = 'session-guard-server';
const LINKS = ['session-guard', `query_${NAME}`];
/** The mark in Node's own executable that says whether it carries an application. */
const FUSE = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2';

/** Puts into lib/migration-files.ts what it would read from files. */
const inlineMigrations: Plugin = {
  name: 'inline-migrations',
  setup(builder) {
    builder.onLoad({ filter: /[\\/]lib[\\/]migration-files\.ts$/ }, async () => ({
      contents: `export const readMigrationFiles = async () => ${JSON.stringify(await readMigrationFiles())};`,
      loader: 'js',
    }));
  },
};

/** One CommonJS file: a single executable application cannot begin with a module (Node 20, 22). Resolves with its inputs. */
async function writeBundle(outfile: string): Promise<string[]> {
  const { metafile } = await build({
    entryPoints: [ENTRY],
    outfile,
    bundle: true,
    platform: 'node',
    target: `node${process.versions.node}`,
    format: 'cjs',
    // The names of errors in logs are read by people.
    keepNames: true,
    // Asked for in vain by `pg`, which does without; it is an addon, and no part of a file like this.
    external: ['pg-native'],
    plugins: [inlineMigrations],
    metafile: true,
    logLevel: 'warning',
  });
  return Object.keys(metafile.inputs);
}

/** The bundle with what V8 made of it, so that a start need not compile it. */
async function toBlob(main: string, folder: string): Promise<Buffer> {
  const [output, config] = [join(folder, 'main.blob'), join(folder, 'sea.json')];
  const options = { main, output, useCodeCache: true, disableExperimentalSEAWarning: true };
  await writeFile(config, JSON.stringify(options));
  await promisify(execFile)(process.execPath, ['--experimental-sea-config', config]);
  return readFile(output);
}

/** A new file rather than a changed one: what runs cannot be written to, but it can be replaced. */
async function writeExecutable(path: string, blob: Buffer): Promise<void> {
  const draft = `${path}.new`;
  await copyFile(process.execPath, draft);
  await chmod(draft, 0o755);
  await inject(draft, 'NODE_SEA_BLOB', blob, { sentinelFuse: FUSE });
  await rename(draft, path);
}

async function bundle(prefix: string): Promise<void> {
  const [bin, doc] = [join(prefix, 'bin'), join(prefix, 'share/doc/session-guard')];
  const folder = await mkdtemp(join(tmpdir(), 'session-guard-bundle-'));
  try {
    const main = join(folder, 'main.cjs');
    const inputs = await writeBundle(main);
    await mkdir(bin, { recursive: true });
    await writeExecutable(join(bin, NAME), await toBlob(main, folder));
    for (const link of LINKS) {
      await rm(join(bin, link), { force: true });
      await symlink(NAME, join(bin, link));
    }
    await mkdir(doc, { recursive: true });
    await writeFile(join(doc, 'THIRD-PARTY-LICENSES.txt'), await licensesOf(inputs));
  } finally {
    await rm(folder, { recursive: true });
  }
}

const { values } = parseArgs({ options: { prefix: { type: 'string', default: 'dist' } } });
await bundle(resolve(values.prefix));
