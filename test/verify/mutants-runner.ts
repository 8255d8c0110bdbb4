import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build, type Plugin } from 'esbuild';
import type { Mutant } from './mutants-sites.ts';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Ends the process with the first failure: one is enough. */
const IMPATIENT = `data:text/javascript,${encodeURIComponent(`
  export default async function* (events) {
    for await (const { type, data } of events) {
      if (type === 'test:fail' && data.todo === undefined) process.exit(1);
      yield '';
    }
  }
`)}`;

/** Test files bundled into one program, which runs against a changed source as well as against the genuine one. */
export class Suite {
  readonly #files: readonly string[];
  readonly #env: Readonly<Record<string, string>>;
  readonly #prefix: string;
  #count = 0;

  /** `files` relative to the root. The paths of bundles begin with `prefix`, beside a `node_modules`. */
  constructor(
    files: readonly string[],
    prefix: string,
    env: Readonly<Record<string, string>> = {},
  ) {
    this.#files = files;
    this.#prefix = prefix;
    this.#env = env;
  }

  /** Whether all tests pass within so many milliseconds. */
  async passes(mutant: Mutant | undefined, limit: number): Promise<boolean> {
    const bundle = `${this.#prefix}-${this.#count++}.mjs`;
    try {
      await this.#bundle(mutant, bundle);
    } catch {
      return false; // no program at all
    }
    const child = spawn(process.execPath, ['--test-reporter', IMPATIENT, bundle], {
      cwd: ROOT,
      env: { ...process.env, ...this.#env },
      stdio: 'ignore',
      timeout: limit,
      killSignal: 'SIGKILL',
    });
    const [code] = (await once(child, 'close')) as [number | null];
    await rm(bundle); // there are many of them
    return code === 0;
  }

  async #bundle(mutant: Mutant | undefined, outfile: string): Promise<void> {
    await build({
      stdin: {
        contents: this.#files.map((file) => `import './${file}';`).join('\n'),
        resolveDir: ROOT,
      },
      outfile,
      bundle: true,
      platform: 'node',
      format: 'esm',
      packages: 'external',
      nodePaths: [join(ROOT, 'node_modules')],
      logLevel: 'silent',
      plugins: [sources(mutant)],
    });
  }
}

/** Reads every source, the changed one from memory, and lets each know where it really is. */
const sources = (mutant: Mutant | undefined): Plugin => ({
  name: 'sources',
  setup(bundler) {
    bundler.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
      const isChanged = mutant !== undefined && path === join(ROOT, mutant.file);
      const text = isChanged ? mutant.text : await readFile(path, 'utf8');
      const url = JSON.stringify(pathToFileURL(path).href);
      return { contents: text.replaceAll('import.meta.url', url), loader: 'ts' };
    });
    bundler.onResolve({ filter: /^[^.]/ }, ({ path }) =>
      path.startsWith('/') ? undefined : { path, external: true },
    );
  },
});
