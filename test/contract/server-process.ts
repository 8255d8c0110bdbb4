import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { setTimeout as delay } from 'node:timers/promises';

const ENTRY = fileURLToPath(new URL('server-entry.ts', import.meta.url));
const TSX = import.meta.resolve('tsx');

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/**
 * session-guard-server with the tests' plugin, as a process started the way Kong starts one:
 * without environment.
 */
export class ServerProcess {
  readonly child: ChildProcess;
  readonly exit: Promise<Exit>;
  stdout = '';
  stderr = '';

  constructor(t: TestContext, args: readonly string[], nodeArgs: readonly string[] = []) {
    this.child = spawn(process.execPath, ['--import', TSX, ...nodeArgs, ENTRY, ...args], {
      env: {},
      cwd: '/',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stdout!.on('data', (chunk: Buffer) => (this.stdout += chunk.toString()));
    this.child.stderr!.on('data', (chunk: Buffer) => (this.stderr += chunk.toString()));
    this.exit = once(this.child, 'close').then(
      ([code, signal]: unknown[]) => ({ code, signal }) as Exit,
    );
    t.after(async () => {
      this.child.kill('SIGKILL');
      await this.exit;
    });
  }

  /** Log lines, parsed. */
  get log(): { event?: string; [field: string]: unknown }[] {
    const lines = this.stderr.split('\n').filter((line) => line !== '');
    return lines.map((line) => JSON.parse(line) as { event?: string });
  }

  static async serve(t: TestContext, socket: string, ...args: string[]): Promise<ServerProcess> {
    const server = new ServerProcess(t, ['--socket', socket, ...args]);
    await server.until(() => server.stderr.includes('"listening"') && existsSync(socket));
    return server;
  }

  /** Waits until the condition holds, for 20 s at most. */
  async until(condition: () => boolean): Promise<void> {
    for (let i = 0; i < 2000; i++) {
      if (condition()) return;
      if (this.child.exitCode !== null) break;
      await delay(10);
    }
    if (!condition()) throw new Error(`not reached; the server said:\n${this.stderr}`);
  }
}
