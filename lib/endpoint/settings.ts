import { readFileSync } from 'node:fs';
import { isLoopback, parseAddress } from './address.ts';
import type { Address } from './address.ts';

/** What the command line and the environment say about the endpoint. */
export interface EndpointOptions {
  readonly address: Address;
  readonly metricsTokenFile: string | undefined;
  readonly consoleTokenFile: string | undefined;
}

export interface EndpointSettings {
  readonly address: Address;
  /** What `/metrics` asks for; needed where others than this machine can ask. */
  readonly metricsToken: string | undefined;
  /** Without it there is no console. */
  readonly consoleToken: string | undefined;
}

type Env = Readonly<Record<string, string | undefined>>;

/** As flags, without `--`. */
export interface EndpointFlags {
  readonly http?: string | undefined;
  readonly 'metrics-token-file'?: string | undefined;
  readonly 'console-token-file'?: string | undefined;
}

const SHORTEST_TOKEN = 32;

/**
 * A flag wins over the variable of the same name. `undefined`: no endpoint.
 * @throws Error that names the flag
 */
export function endpointOptions(flags: EndpointFlags, env: Env): EndpointOptions | undefined {
  const value = flags.http ?? given(env['SESSION_GUARD_HTTP']);
  if (value === undefined) return undefined;
  return {
    address: parseAddress(flags.http === undefined ? 'SESSION_GUARD_HTTP' : '--http', value),
    metricsTokenFile: flags['metrics-token-file'] ?? given(env['SESSION_GUARD_METRICS_TOKEN_FILE']),
    consoleTokenFile: flags['console-token-file'] ?? given(env['SESSION_GUARD_CONSOLE_TOKEN_FILE']),
  };
}

/**
 * Reads the tokens. They are in files or in the environment, never in an argument, which every user of the machine can
 * read.
 * @throws Error that tells what to mend, and no token
 */
export function endpointSettings(options: EndpointOptions, env: Env): EndpointSettings {
  const { address, metricsTokenFile, consoleTokenFile } = options;
  const metricsToken = token('SESSION_GUARD_METRICS_TOKEN', metricsTokenFile, env);
  const consoleToken = token('SESSION_GUARD_CONSOLE_TOKEN', consoleTokenFile, env);
  if (!isLoopback(address.host) && metricsToken === undefined) {
    throw new Error(
      `others can reach ${address.host}: give a --metrics-token-file, or listen on 127.0.0.1`,
    );
  }
  return { address, metricsToken, consoleToken };
}

function token(name: string, file: string | undefined, env: Env): string | undefined {
  const value = file === undefined ? given(env[name]) : read(name, file);
  if (value !== undefined && (value.length < SHORTEST_TOKEN || !/^[\x21-\x7e]+$/.test(value))) {
    throw new Error(
      `${name}: at least ${SHORTEST_TOKEN} visible ASCII characters; make one with "openssl rand -hex 32"`,
    );
  }
  return value;
}

function read(name: string, file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
    throw new Error(`${name}: cannot read the file ${file} (${code})`, { cause: error });
  }
}

const given = (value: string | undefined): string | undefined => (value === '' ? undefined : value);
