import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundle } from '../support/bundle.ts';
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
    const program = `${this.#prefix}-${this.#count++}.mjs`;
    try {
      await this.#bundle(mutant, program);
    } catch {
      return false; // no program at all
    }
    const child = spawn(process.execPath, ['--test-reporter', IMPATIENT, program], {
      cwd: ROOT,
      env: { ...process.env, ...this.#env },
      stdio: 'ignore',
      timeout: limit,
      killSignal: 'SIGKILL',
    });
    const [code] = (await once(child, 'close')) as [number | null];
    await rm(program); // there are many of them
    return code === 0;
  }

  async #bundle(mutant: Mutant | undefined, outfile: string): Promise<void> {
    await bundle(
      {
        stdin: {
          contents: this.#files.map((file) => `import './${file}';`).join('\n'),
          resolveDir: ROOT,
        },
        outfile,
        nodePaths: [join(ROOT, 'node_modules')],
      },
      mutant && { path: join(ROOT, mutant.file), text: mutant.text },
    );
  }
}
