import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { endpointOptions } from '../endpoint/settings.ts';
import type { EndpointOptions } from '../endpoint/settings.ts';
import type { LogLevel } from '../log.ts';
import { PROTOCOLS } from './dump.ts';
import type { Protocol } from './dump.ts';

/**
 * Kong's own defaults: its prefix, and `<prefix>/<name of the server>.socket` (kong/conf_loader/init.lua).
 */
const DEFAULT_PREFIX = '/usr/local/kong';
const SOCKET_NAME = 'session-guard-server.socket';
/** Kong answers 500 by itself where it fails, and a request is two round trips (part J); before 3.8 it does neither. */
const DEFAULT_PROTOCOL: Protocol = 'protobuf';
/** `auto`: what suits the Kong on this machine. */
export type ProtocolChoice = Protocol | 'auto';
const CHOICES: readonly ProtocolChoice[] = [...(Object.keys(PROTOCOLS) as Protocol[]), 'auto'];
/** In microseconds. */
const COALESCE = 250;
/** More would be felt. */
const MAX_COALESCE = 10_000;
const LOG_LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error', 'silent'];

export const USAGE = `session-guard-server [options]

Runs the session-guard plugin for Kong. Without options it is what Kong expects of
/usr/local/bin/session-guard-server.

  --prefix <dir>        Kong's prefix (${DEFAULT_PREFIX})
  --socket <path>       unix socket (<prefix>/${SOCKET_NAME})
  --coalesce <µs>       under load, how long to gather what Kong sends (${COALESCE}); 0: never
  --log-level <level>   ${LOG_LEVELS.join(', ')} (info); lines of JSON on stderr
  --detached            keep running when the process that started the server ends
  --http <ip:port>      metrics, health and console over HTTP, such as 127.0.0.1:9114 (none)
  --metrics-token-file <path>, --console-token-file <path>
                        what /metrics and /console ask for; see docs/watching.md
  -dump, --dump         print the plugin's description for Kong's query command and exit
  --protocol <name>     what the dump tells Kong to speak: ${CHOICES.join(', ')}
                        (${DEFAULT_PROTOCOL}; msgpack for Kong before 3.8, and beside ldap-auth;
                        auto asks for the version of the Kong on this machine)
  --version, --help
`;

export interface Options {
  readonly command: 'serve' | 'dump' | 'version' | 'help';
  readonly protocol: ProtocolChoice;
  readonly socket: string;
  /** Microseconds. */
  readonly coalesce: number;
  readonly logLevel: LogLevel;
  readonly detached: boolean;
  readonly endpoint: EndpointOptions | undefined;
}

/** Throws an Error whose message tells the user what is wrong. */
export function parseOptions(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>> = {},
): Options {
  const { values } = parseArgs({
    // Kong calls `<path> -dump`, in the manner of Go.
    args: argv.map((arg) => (arg === '-dump' ? '--dump' : arg)),
    options: {
      prefix: { type: 'string', default: DEFAULT_PREFIX },
      socket: { type: 'string' },
      coalesce: { type: 'string', default: String(COALESCE) },
      'log-level': { type: 'string', default: 'info' },
      detached: { type: 'boolean', default: false },
      http: { type: 'string' },
      'metrics-token-file': { type: 'string' },
      'console-token-file': { type: 'string' },
      dump: { type: 'boolean', default: false },
      protocol: { type: 'string', default: DEFAULT_PROTOCOL },
      version: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const command = commandOf(values);
  return {
    command,
    protocol: oneOf(CHOICES, values.protocol, '--protocol'),
    socket: values.socket ?? join(values.prefix, SOCKET_NAME),
    coalesce: microseconds(values.coalesce),
    logLevel: oneOf(LOG_LEVELS, values['log-level'], '--log-level'),
    detached: values.detached,
    // Kong does not start without the dump, which has no use for an endpoint.
    endpoint: command === 'serve' ? endpointOptions(values, env) : undefined,
  };
}

function commandOf(values: { help: boolean; version: boolean; dump: boolean }): Options['command'] {
  if (values.help) return 'help';
  if (values.version) return 'version';
  return values.dump ? 'dump' : 'serve';
}

function oneOf<T extends string>(known: readonly T[], value: string, option: string): T {
  const found = known.find((name) => name === value);
  if (found === undefined) throw new Error(`${option} must be one of ${known.join(', ')}`);
  return found;
}

function microseconds(value: string): number {
  const number = /^\d+$/.test(value) ? Number(value) : NaN;
  if (number <= MAX_COALESCE) return number;
  throw new Error(`--coalesce must be a number of microseconds from 0 to ${MAX_COALESCE}`);
}
