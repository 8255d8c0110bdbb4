import { setImmediate } from 'node:timers/promises';

import { LuaError, type LuaValue, fromJson, isTable } from '../lua.ts';
import { stringArgument } from './checks.ts';
import type { PdkModule, PdkScope } from './scope.ts';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** A query to the database: it yields, so the next step may take another connection (Kong's rpc/mp_rpc.lua). */
async function loadConsumer(
  { exchange }: PdkScope,
  id: LuaValue,
  byUsername: LuaValue,
): Promise<LuaValue> {
  const wanted = stringArgument(id, 'consumer_id must be a string');
  const isByUsername = byUsername !== undefined && byUsername !== false;
  if (!UUID.test(wanted) && !isByUsername) {
    throw new LuaError('cannot load a consumer with an id that is not a uuid');
  }
  await setImmediate();
  const { entities } = exchange.node;
  const username = Buffer.from(wanted, 'latin1').toString('utf8');
  const found =
    entities.get('consumers', wanted.toLowerCase()) ??
    (isByUsername ? entities.find('consumers', 'username', username) : undefined);
  return found === undefined ? undefined : fromJson(found, 'drop');
}

function authenticate({ exchange }: PdkScope, consumer: LuaValue, credential: LuaValue): undefined {
  if (consumer !== undefined && !isTable(consumer)) {
    throw new LuaError('consumer must be a table or nil');
  }
  if (credential !== undefined && !isTable(credential)) {
    throw new LuaError('credential must be a table or nil');
  }
  if (consumer === undefined && credential === undefined) {
    throw new LuaError('either credential or consumer must be provided');
  }
  exchange.ctx.set('authenticated_consumer', consumer);
  exchange.ctx.set('authenticated_credential', credential);
}

function protocol({ exchange }: PdkScope, allowTerminated: LuaValue): string {
  const protocols = exchange.match?.route['protocols'];
  const [only, ...others] = Array.isArray(protocols) ? protocols : [];
  if (typeof only === 'string' && others.length === 0) return only;
  const forwarded = allowTerminated === true && exchange.trustedHeader('x-forwarded-proto');
  return typeof forwarded === 'string' ? forwarded.toLowerCase() : exchange.incoming.scheme;
}

/** kong.client: pdk/client.lua. */
export const client: PdkModule = {
  get_ip: ({ exchange }) => exchange.incoming.peer.address,
  get_forwarded_ip: ({ exchange }) => exchange.remoteAddress,
  get_port: ({ exchange }) => exchange.incoming.peer.port,
  get_forwarded_port: ({ exchange }) => exchange.incoming.peer.port,
  get_protocol: protocol,
  get_credential: ({ exchange }) => exchange.ctx.get('authenticated_credential'),
  get_consumer: ({ exchange }) => exchange.ctx.get('authenticated_consumer'),
  load_consumer: loadConsumer,
  authenticate,
};
