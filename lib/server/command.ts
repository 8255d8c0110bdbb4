import type { Log } from '../log.ts';
import { openRegisteredSpans } from '../tracing.ts';
import { formatDump } from './dump.ts';
import type { PluginInfo } from './dump.ts';
import type { HostedPlugin } from './host.ts';
import type { RunningServer } from './index.ts';
import { protocolOfKong } from './kong-version.ts';
import { parseOptions, USAGE } from './options.ts';
import type { Options, ProtocolChoice } from './options.ts';

/** Where the command finds its plugin. Each loads what it needs, and only when it is called. */
export interface PluginSource {
  info(): Promise<PluginInfo>;
  plugin(): Promise<HostedPlugin>;
}

/**
 * The command line, without the name of the program. Exit codes: 1 = could not start, 2 = wrong
 * use. Never rejects.
 */
export async function run(argv: readonly string[], source: PluginSource): Promise<void> {
  let options: Options;
  try {
    options = parseOptions(argv, process.env);
  } catch (err) {
    return fail(2, err);
  }
  try {
    await execute(options, source);
  } catch (err) {
    fail(1, err);
  }
}

async function execute(options: Options, source: PluginSource): Promise<void> {
  switch (options.command) {
    case 'help':
      process.stdout.write(USAGE);
      return;
    case 'version':
      process.stdout.write(`${(await source.info()).Version}\n`);
      return;
    case 'dump':
      return dump(options.protocol, source);
    case 'serve':
      return start(options, source);
  }
}

async function dump(choice: ProtocolChoice, source: PluginSource): Promise<void> {
  const protocol = choice === 'auto' ? protocolOfKong(process.env) : choice;
  process.stdout.write(formatDump(await source.info(), protocol));
}

async function start(options: Options, source: PluginSource): Promise<void> {
  const parent = process.ppid; // before anything takes time in which it may end
  // The dump must not load any of this: Kong waits for it while it starts.
  const [{ log, logEvents, logStorage }, { serve }, { dieOfErrors, endWhenDone }] =
    await Promise.all([import('../log.ts'), import('./index.ts'), import('./lifecycle.ts')]);
  log.level = options.logLevel;
  dieOfErrors(log);
  logEvents(log);
  logStorage(log);
  const { socket, coalesce } = options;
  const server = await serve({ plugin: await source.plugin(), socket, coalesce, log });
  // The child of no one, as under a supervisor or in a container, has no parent to lose.
  const followed = options.detached || parent <= 1 ? undefined : parent;
  const watched = await withSpans(await withEndpoint(server, options, log), log);
  endWhenDone(watched, { log, parent: followed });
}

/** The server, with spans if whoever started the process has registered a provider of tracers. */
async function withSpans(server: RunningServer, log: Log): Promise<RunningServer> {
  const spans = await openRegisteredSpans();
  if (spans === undefined) return server;
  log.info({ event: 'spans' }, 'requests are traced');
  return { ...server, drain: () => server.drain().then(() => spans.close()) };
}

/** The server and, where one is asked for, what tells operators about it over HTTP. */
async function withEndpoint(
  server: RunningServer,
  { endpoint: options }: Options,
  log: Log,
): Promise<RunningServer> {
  if (options === undefined) return server;
  const { openEndpoint } = await import('../endpoint/index.ts');
  const endpoint = openEndpoint(options, process.env, log);
  return {
    ...server,
    drain: async () => {
      // At once: the server that takes over after a reload of Kong wants the port.
      await endpoint?.close();
      await server.drain();
    },
  };
}

function fail(code: number, err: unknown): void {
  const reason = err instanceof Error ? err.message : String(err);
  process.stderr.write(`session-guard-server: ${reason}\n`);
  process.exitCode = code;
}
