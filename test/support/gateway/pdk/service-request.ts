import { headerValues } from '../headers.ts';
import type { LuaValue } from '../lua.ts';
import { headerArgument, headersArgument, stringArgument } from './checks.ts';
import type { PdkModule, PdkScope } from './scope.ts';

function set({ exchange }: PdkScope, name: string, value: LuaValue): void {
  const values = headerValues(value);
  if (name.toLowerCase() === 'host') exchange.upstreamHost = values[0];
  exchange.headers.set(name, values);
}

/** kong.service.request: pdk/service/request.lua. */
export const serviceRequest: PdkModule = {
  set_header: (scope, name, value) => {
    set(scope, headerArgument(name, value), value);
    return undefined;
  },
  add_header: ({ exchange }, name, value) => {
    exchange.headers.add(headerArgument(name, value), headerValues(value));
    return undefined;
  },
  clear_header: ({ exchange }, name) => {
    exchange.headers.delete(stringArgument(name, 'header must be a string'));
    return undefined;
  },
  set_headers: (scope, headers) => {
    for (const [name, value] of headersArgument(headers)) set(scope, name, value);
    return undefined;
  },
};
