import type { Exchange } from '../exchange.ts';
import { LuaError, type LuaKey, type LuaValue, isTable } from '../lua.ts';
import { normalizePath, parseArguments } from '../path.ts';
import { stringArgument } from './checks.ts';
import type { PdkModule } from './scope.ts';

const VARIABLES: { [name: string]: (exchange: Exchange) => LuaValue } = {
  request: ({ incoming }) => `${incoming.method} ${incoming.target} HTTP/${incoming.httpVersion}`,
  request_uri: ({ incoming }) => incoming.target,
  uri: ({ rawPath }) => normalizePath(rawPath),
  args: ({ args }) => args || undefined,
  query_string: ({ args }) => args || undefined,
  is_args: ({ args }) => (args === '' ? '' : '?'),
  scheme: ({ incoming }) => incoming.scheme,
  https: ({ incoming }) => (incoming.scheme === 'https' ? 'on' : ''),
  host: ({ host }) => host,
  remote_addr: ({ remoteAddress }) => remoteAddress,
  remote_port: ({ incoming }) => String(incoming.peer.port),
  server_port: ({ incoming }) => String(incoming.localPort),
  server_protocol: ({ incoming }) => `HTTP/${incoming.httpVersion}`,
  request_id: ({ requestId }) => requestId,
  request_method: ({ incoming }) => incoming.method,
  request_time: ({ startedAt }) => ((Date.now() - startedAt) / 1000).toFixed(3),
  request_length: ({ incoming }) => String(requestLength(incoming)),
  content_length: (exchange) => exchange.header('content-length'),
  content_type: (exchange) => exchange.header('content-type'),
  ssl_protocol: ({ incoming }) => incoming.tlsProtocol,
};

function requestLength({ method, target, httpVersion, headers }: Exchange['incoming']): number {
  const line = `${method} ${target} HTTP/${httpVersion}\r\n`.length;
  return headers.lines.reduce(
    (sum, [name, value]) => sum + name.length + value.length + 4,
    line + 2,
  );
}

/** nginx compares the names of `$cookie_…` and `$arg_…` without case; the first one wins. */
function firstNamed(pairs: readonly (readonly [string, LuaValue])[], name: string): LuaValue {
  return pairs.find(([own]) => own.toLowerCase() === name)?.[1];
}

export function variable(exchange: Exchange, name: string): LuaValue {
  const lower = name.toLowerCase();
  const known = VARIABLES[lower];
  if (known !== undefined) return known(exchange);
  const included = exchange.variables?.get(lower);
  if (included !== undefined) return included;
  const end = lower.indexOf('_');
  const [kind, rest] = [lower.slice(0, end), lower.slice(end + 1)];
  if (end === -1 || rest === '') return undefined;
  if (kind === 'http') return exchange.headerVariable(rest);
  if (kind === 'arg') return firstNamed(parseArguments(exchange.args, Infinity), rest);
  if (kind !== 'cookie') return undefined;
  const cookies = (exchange.headerVariable('cookie') ?? '').split(';').map((pair) => pair.trim());
  return firstNamed(
    cookies.map((pair) => [pair.split('=')[0] ?? '', pair.slice(pair.indexOf('=') + 1)]),
    rest,
  );
}

function contextKey(key: LuaValue): LuaKey {
  if (key === undefined || key === null || isTable(key)) throw new LuaError('table index is nil');
  return key;
}

/** kong.nginx, as runloop/plugin_servers/plugin.lua exposes it. */
export const nginx: PdkModule = {
  get_var: ({ exchange }, name) => variable(exchange, stringArgument(name, 'bad variable name')),
  get_ctx: ({ exchange }, key) => exchange.ctx.get(contextKey(key)),
  set_ctx: ({ exchange }, key, value) => {
    exchange.ctx.set(contextKey(key), value);
    return undefined;
  },
  get_subsystem: () => 'http',
  req_start_time: ({ exchange }) => exchange.startedAt / 1000,
};

/** kong.ctx.shared. */
export const shared: PdkModule = {
  get: ({ exchange }, key) => exchange.shared.get(contextKey(key)),
  set: ({ exchange }, key, value) => {
    exchange.shared.set(contextKey(key), value);
    return undefined;
  },
};
