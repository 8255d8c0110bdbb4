import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const CLI = `exec "${process.execPath}" "${ROOT}dist/lib/cli.js" "$@"`;
/** The hosts of the documentation are those of a gateway; neither names nor certificates are asked for. */
const CURL = `
PATH=\${PATH#*:}
exec curl --insecure --connect-to "localhost:8001:\${ADMIN-}" --connect-to "my-host:443:\${PROXY-}" "$@"`;

/** A folder in which somebody pastes commands of the documentation, with \`session-guard\` of the build and the examples. */
export class Terminal {
  readonly folder: string;
  /** What the commands find in their environment, beside that of the tests. */
  readonly env: Record<string, string>;

  private constructor(folder: string) {
    this.folder = folder;
    this.env = { HOME: folder, PATH: `${folder}/bin:${process.env['PATH'] ?? ''}` };
  }

  static async open(): Promise<Terminal> {
    const terminal = new Terminal(await mkdtemp(join(tmpdir(), 'session-guard-docs-')));
    await terminal.#addProgram('bin/session-guard', CLI);
    await terminal.#addProgram('session-guard/bin/session-guard', CLI);
    await terminal.#addProgram('bin/curl', CURL);
    await symlink(join(ROOT, 'examples'), join(terminal.folder, 'examples'));
    return terminal;
  }

  async #addProgram(name: string, text: string): Promise<void> {
    await mkdir(join(this.folder, name, '..'), { recursive: true });
    await writeFile(join(this.folder, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  }

  /** Where `localhost:8001` and `https://my-host` lead to. */
  connect({ adminUrl, proxySslUrl }: { adminUrl: string; proxySslUrl: string }): void {
    this.env['ADMIN'] = new URL(adminUrl).host;
    this.env['PROXY'] = new URL(proxySslUrl).host;
  }

  /** Standard output of a command; rejects if it fails. `typed` makes it one of a terminal, with that as its input. */
  async paste(command: string, typed?: string): Promise<string> {
    const args = typed === undefined ? [command] : [`script -qec "$0" /dev/null`, command];
    const running = promisify(execFile)('bash', ['-euc', ...args], {
      cwd: this.folder,
      env: { ...process.env, ...this.env },
    });
    running.child.stdin?.end(typed);
    return (await running).stdout;
  }

  close(): Promise<void> {
    return rm(this.folder, { recursive: true });
  }
}
