import type { Level } from '../log.ts';
import { LuaError, type LuaValue, fromJson, isTable } from '../lua.ts';
import { notInAccess, stringArgument } from './checks.ts';
import { client } from './client.ts';
import { nginx, shared } from './nginx.ts';
import { request } from './request.ts';
import { response } from './response.ts';
import type { PdkFunction, PdkModule } from './scope.ts';
import { serviceRequest } from './service-request.ts';

export type { PdkFunction, PdkScope } from './scope.ts';

const shown = (value: LuaValue): string =>
  isTable(value) ? 'table: 0x7f0000000000' : String(value ?? 'nil');

const logAt =
  (level: Level): PdkFunction =>
  ({ exchange, plugin }, ...values) => {
    if (values.length === 0) throw new LuaError('expected at least one argument');
    exchange.node.log.write(level, values.map(shown).join(''), plugin.name);
    return undefined;
  };

const log: PdkModule = {
  debug: logAt('debug'),
  info: logAt('info'),
  notice: logAt('notice'),
  warn: logAt('warn'),
  err: logAt('error'),
  crit: logAt('crit'),
  inspect: logAt('debug'),
  serialize: notInAccess('log'),
};

const router: PdkModule = {
  get_route: ({ exchange }) => fromJson(exchange.match?.route ?? null, 'drop'),
  get_service: ({ exchange }) => fromJson(exchange.match?.service ?? null, 'drop'),
};

const modules: { [prefix: string]: PdkModule } = {
  'kong.client': client,
  'kong.ctx.shared': shared,
  'kong.ip': {
    is_trusted: ({ exchange }, address) =>
      exchange.node.isTrusted(stringArgument(address, 'ip must be a string')),
  },
  'kong.log': log,
  'kong.nginx': nginx,
  'kong.node': { get_id: ({ exchange }) => exchange.node.id },
  'kong.plugin': { get_id: ({ plugin }) => plugin.id },
  'kong.request': request,
  'kong.response': response,
  'kong.router': router,
  'kong.service.request': serviceRequest,
};

/** The functions that plugin servers call, by their dotted name. */
export const pdk: ReadonlyMap<string, PdkFunction> = new Map([
  ['kong.log', logAt('notice')],
  ...Object.entries(modules).flatMap(([prefix, functions]) =>
    Object.entries(functions).map(([name, call]): [string, PdkFunction] => [
      `${prefix}.${name}`,
      call,
    ]),
  ),
]);
