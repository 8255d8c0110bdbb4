import { objectsIn } from '../bundled/found.ts';
import type { Fields } from '../bundled/found.ts';
import { PROTOCOLS } from '../../server/dump.ts';
import type { Protocol } from '../../server/dump.ts';
import { error, warning } from './diagnosis.ts';
import type { Diagnosis } from './diagnosis.ts';

const OURS = /session[-_]guard/;

/**
 * What Kong speaks with the plugin server, by what the Admin API says of its configuration: since 3.9 the answer to the
 * query command, before that the command where kong.conf has one. `undefined` = not told.
 */
export function protocolIn(configuration: Fields): Protocol | undefined {
  const [server = {}] = objectsIn(configuration['pluginservers'])
    .map(([entry]) => entry)
    .filter(({ name, query_command: query }) => OURS.test(`${String(name)} ${String(query)}`));
  const answered = (Object.keys(PROTOCOLS) as Protocol[]).find(
    (name) => PROTOCOLS[name] === server['protocol'],
  );
  if (answered !== undefined) return answered;
  const [, command] =
    Object.entries(configuration).find(
      ([key, value]) => /^pluginserver_.*_query_cmd$/.test(key) && OURS.test(key + String(value)),
    ) ?? [];
  return typeof command === 'string' ? protocolOf(command) : undefined;
}

/** Other commands, such as `cat`, tell nothing. */
function protocolOf(command: string): Protocol | undefined {
  if (!/ --?dump\b/.test(command)) return undefined;
  const [, chosen = 'protobuf'] = /--protocol[= ](\w+)/.exec(command) ?? [];
  return chosen === 'msgpack' || chosen === 'protobuf' ? chosen : undefined;
}

/** Whether it suits that Kong (rpc/pb_rpc.lua and plugin_servers/process.lua of Kong 3.4 to 3.9). */
export function lintProtocol(
  [major, minor]: readonly [number, number],
  protocol: Protocol | undefined,
  needsMsgpack: boolean,
): Diagnosis[] {
  const isOld = major === 3 && minor < 8;
  if (protocol === 'protobuf' && isOld) {
    const message =
      'speaks ProtoBuf, over which this Kong does not find to a plugin server that was started again';
    const remedy = 'add --protocol msgpack to the query command';
    return [error('protocol', 'gateway', message, remedy)];
  }
  if (protocol === 'msgpack' && !isOld && !needsMsgpack) {
    const message =
      'speaks MessagePack: requests pass without the plugin while its server is down, instead of ending with 500';
    const remedy = 'let the query command be session-guard-server -dump; only ldap-auth needs more';
    return [warning('protocol', 'gateway', message, remedy)];
  }
  return [];
}
