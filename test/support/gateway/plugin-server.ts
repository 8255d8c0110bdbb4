import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

import type { ErrorLog } from './log.ts';

/** Longer than this a server does not need to end after SIGTERM; Kong itself would not wait. */
const STOP_LIMIT_MS = 10_000;

/**
 * The process that Kong's worker 0 starts and keeps alive: `exec <command>` through the shell, no environment, both
 * outputs as lines of the error log, a new one at most once a second after the last start (kong/runloop/plugin_servers/process.lua).
 */
export class PluginServer {
  readonly #command: string;
  readonly #name: string;
  readonly #log: ErrorLog;
  readonly #respawnDelayMs: number;
  #child: ChildProcess | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(options: { command: string; name: string; log: ErrorLog; respawnDelayMs: number }) {
    this.#command = options.command;
    this.#name = options.name;
    this.#log = options.log;
    this.#respawnDelayMs = options.respawnDelayMs;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  start(): void {
    const startedAt = Date.now();
    const child = spawn('/bin/sh', ['-c', `exec 2>&1; exec ${this.#command}`], {
      env: {},
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    this.#child = child;
    createInterface(child.stdout).on('line', (line) => this.#logLine(child, line));
    child.on('error', (error) => this.#log.write('error', `[${this.#name}] ${error.message}`));
    child.on('exit', (code, signal) => {
      if (this.#child === child) this.#child = undefined;
      if (this.#stopped) return;
      const how = signal ?? `code ${String(code)}`;
      this.#log.write('notice', `external pluginserver '${this.#name}' terminated: ${how}`);
      const delay = Math.max(0, startedAt + this.#respawnDelayMs - Date.now());
      this.#timer = setTimeout(() => this.start(), delay);
    });
  }

  kill(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  /** SIGTERM, as worker 0 does when it ends; resolves when the process is gone. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    const child = this.#child;
    if (child === undefined) return;
    const gone = once(child, 'close');
    child.kill('SIGTERM');
    const impatience = setTimeout(() => {
      child.kill('SIGKILL');
      child.stdout?.destroy(); // a process of its own could hold the other end
    }, STOP_LIMIT_MS);
    await gone;
    clearTimeout(impatience);
  }

  #logLine(child: ChildProcess, line: string): void {
    this.#log.write('info', `[${this.#name}:${String(child.pid)}] ${line}`);
  }
}
