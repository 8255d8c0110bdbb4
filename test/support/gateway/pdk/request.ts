import { grouped, headerTable } from '../headers.ts';
import { LuaError, index } from '../lua.ts';
import { normalizePath, parseArguments } from '../path.ts';
import { readForm, readRawBody } from './body.ts';
import { countArgument, stringArgument } from './checks.ts';
import type { PdkModule, PdkScope } from './scope.ts';

/** lua_max_req_headers, lua_max_uri_args. */
const DEFAULT_MAX = 100;

const query = ({ exchange }: PdkScope, max: number): Map<string, string> =>
  grouped(parseArguments(exchange.args, max)) as Map<string, string>;

const path = ({ exchange }: PdkScope): string => normalizePath(exchange.rawPath);

/** kong.request: pdk/request.lua. */
export const request: PdkModule = {
  get_scheme: ({ exchange }) => exchange.incoming.scheme,
  get_host: ({ exchange }) => exchange.host,
  get_port: ({ exchange }) => exchange.incoming.localPort,
  get_method: ({ exchange }) => exchange.incoming.method,
  get_http_version: ({ exchange }) => Number(exchange.incoming.httpVersion),
  get_path: path,
  get_raw_path: ({ exchange }) => exchange.rawPath,
  get_path_with_query: ({ exchange }) => exchange.incoming.target,
  get_raw_query: ({ exchange }) => exchange.args,
  get_forwarded_scheme: ({ exchange }) =>
    exchange.trustedHeader('x-forwarded-proto')?.toLowerCase() ?? exchange.incoming.scheme,
  get_forwarded_host: ({ exchange }) => {
    const host = exchange.trustedHeader('x-forwarded-host');
    return (
      host
        ?.replace(/^[^@]*@/, '')
        .replace(/:.*$/, '')
        .toLowerCase() ?? exchange.host
    );
  },
  get_forwarded_port: ({ exchange }) => {
    const port = Number(exchange.trustedHeader('x-forwarded-port'));
    return port >= 1 && port <= 65535 ? port : exchange.incoming.localPort;
  },
  get_forwarded_path: (scope) => scope.exchange.trustedHeader('x-forwarded-path') ?? path(scope),
  get_forwarded_prefix: ({ exchange }) =>
    exchange.trustedHeader('x-forwarded-prefix') ?? exchange.match?.prefix,
  get_header: ({ exchange }, name) =>
    exchange.header(stringArgument(name, 'header name must be a string')),
  get_headers: ({ exchange }, max) =>
    headerTable(exchange.headers, countArgument(max, 'max_headers', DEFAULT_MAX)),
  get_query: (scope, max) => query(scope, countArgument(max, 'max_args', DEFAULT_MAX)),
  get_query_arg: (scope, name) => {
    const wanted = stringArgument(name, 'query argument name must be a string');
    const value = index(query(scope, DEFAULT_MAX), wanted);
    return Array.isArray(value) ? value[0] : value;
  },
  get_raw_body: async ({ exchange }, limit) => {
    if (limit !== undefined && typeof limit !== 'number') {
      throw new LuaError('attempt to compare number with ' + typeof limit);
    }
    return readRawBody(exchange, limit);
  },
  get_body: async ({ exchange }, mimeType, maxArguments, limit) => {
    const type = typeof mimeType === 'string' ? mimeType : exchange.header('content-type');
    if (type === undefined) return undefined;
    const max = countArgument(maxArguments, 'max_args', DEFAULT_MAX);
    return readForm(exchange, { type, max, limit: typeof limit === 'number' ? limit : undefined });
  },
};
