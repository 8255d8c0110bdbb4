import type { Exchange } from '../exchange.ts';
import { errorExit } from '../exit.ts';
import { LuaError, type LuaValue, bytesOf, index, isTable, sequence } from '../lua.ts';
import { type Config, type Plugin, strings } from './plugin.ts';

/** kong/plugins/acl/handler.lua. */
export const acl: Plugin = {
  name: 'acl',
  priority: 950,
  access(exchange, config) {
    const credential = exchange.ctx.get('authenticated_credential');
    const consumerId = consumerIdOf(exchange, credential);
    const useContext =
      credential === undefined || config['always_use_authenticated_groups'] === true;
    const fromContext =
      consumerId === undefined || useContext ? authenticatedGroups(exchange) : undefined;
    const groups = fromContext ?? consumerGroups(exchange, consumerId);
    const isUnknown = consumerId === undefined && groups === undefined;
    if (isUnknown || !isAllowed(groups, config)) refuse(exchange, groups, credential);
    if (config['hide_groups_header'] === true) return;
    const header = fromContext === undefined ? 'X-Consumer-Groups' : 'X-Authenticated-Groups';
    exchange.headers.set(header, [(groups ?? []).join(', ')]);
  },
};

function consumerIdOf(exchange: Exchange, credential: LuaValue): string | undefined {
  const consumer = exchange.ctx.get('authenticated_consumer');
  const id = index(consumer, 'id') ?? index(credential, 'consumer_id');
  if (typeof id !== 'string') return undefined;
  if (!UUID.test(id)) throw new LuaError('schema violation (consumer.id: expected a valid UUID)');
  return id;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Groups that another plugin put into the context, kong.ctx.shared first. */
function authenticatedGroups(exchange: Exchange): string[] | undefined {
  const places = [exchange.shared, exchange.ctx];
  const found = places.map((place) => place.get('authenticated_groups')).find(isTable);
  return found && sequence(found).filter((group) => typeof group === 'string');
}

function consumerGroups(exchange: Exchange, id: string | undefined): string[] | undefined {
  if (id === undefined) return undefined;
  const rows = exchange.node.entities.referring('acls', 'consumer', id);
  const groups = rows.map((row) => row['group']).filter((group) => typeof group === 'string');
  return groups.length === 0 ? undefined : groups.map(bytesOf);
}

function isAllowed(groups: string[] | undefined, config: Config): boolean {
  const isMember = (group: string): boolean => groups?.includes(bytesOf(group)) === true;
  const denied = strings(config['deny']);
  return denied.length > 0 ? !denied.some(isMember) : strings(config['allow']).some(isMember);
}

/** 401 where nobody signed in and nothing is known of the client's groups, else 403. */
function refuse(exchange: Exchange, groups: string[] | undefined, credential: LuaValue): never {
  const status = groups === undefined && credential === undefined ? 401 : 403;
  const message = status === 403 ? 'You cannot consume this service' : undefined;
  throw errorExit({ status, message }, exchange.header('accept'), exchange.requestId);
}
