import { Exit, errorExit } from '../exit.ts';
import { headerValues } from '../headers.ts';
import { LuaError, type LuaTable, type LuaValue, encodeJson, isTable } from '../lua.ts';
import { headerArgument, headersArgument, notInAccess, stringArgument } from './checks.ts';
import type { PdkModule, PdkScope } from './scope.ts';

const LATER_PHASES = 'response, header_filter, body_filter, log, error, admin_api';
const afterAccess = notInAccess(LATER_PHASES);

function statusArgument(status: LuaValue, least: number): number {
  if (typeof status !== 'number') throw new LuaError('code must be a number');
  if (status < least || status > 599) {
    throw new LuaError(`code must be a number between ${String(least)} and 599`);
  }
  return status;
}

function headersOption(headers: LuaValue): LuaTable {
  if (headers === undefined) return new Map();
  if (!isTable(headers)) throw new LuaError('headers must be a nil or table');
  headersArgument(headers);
  return headers;
}

function exit(_: PdkScope, status: LuaValue, body: LuaValue, headers: LuaValue): never {
  const code = statusArgument(status, 100);
  if (body !== undefined && typeof body !== 'string' && !isTable(body)) {
    throw new LuaError('body must be a nil, string or table');
  }
  throw new Exit(code, body, headersOption(headers));
}

function error(
  { exchange }: PdkScope,
  status: LuaValue,
  message: LuaValue,
  headers: LuaValue,
): never {
  const code = statusArgument(status, 400);
  const text = isTable(message) ? encodeJson(message) : message;
  if (text !== undefined && typeof text !== 'string') {
    throw new LuaError('message must be a nil, a string or a table');
  }
  const lines = headersArgument(headersOption(headers));
  const accept = exchange.headers.all('accept').join(',');
  throw errorExit({ status: code, message: text, headers: lines }, accept, exchange.requestId);
}

function set({ exchange }: PdkScope, name: string, value: LuaValue): void {
  exchange.responseHeaders.set(name, headerValues(value));
}

/** kong.response: pdk/response.lua, as far as the access phase allows it. */
export const response: PdkModule = {
  exit,
  error,
  set_header: (scope, name, value) => {
    set(scope, headerArgument(name, value), value);
    return undefined;
  },
  add_header: ({ exchange }, name, value) => {
    exchange.responseHeaders.add(headerArgument(name, value), headerValues(value));
    return undefined;
  },
  clear_header: ({ exchange }, name) => {
    exchange.responseHeaders.delete(stringArgument(name, 'header name must be a string'));
    return undefined;
  },
  set_headers: (scope, headers) => {
    for (const [name, value] of headersArgument(headers)) set(scope, name, value);
    return undefined;
  },
  // The upstream's status overwrites it, so there is nothing to keep.
  set_status: (_, status) => {
    statusArgument(status, 100);
    return undefined;
  },
  get_status: afterAccess,
  get_header: afterAccess,
  get_headers: afterAccess,
  get_source: afterAccess,
  get_raw_body: notInAccess('body_filter'),
};
