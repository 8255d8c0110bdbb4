import type { Exchange } from '../exchange.ts';
import { grouped } from '../headers.ts';
import { type LuaValue, fromJson, index } from '../lua.ts';
import { parseArguments } from '../path.ts';
import { type Verdict, authenticate, consumerOf } from './consumer.ts';
import { type Config, type Plugin, strings } from './plugin.ts';

/** kong/plugins/key-auth/handler.lua, keys in headers and the query. */
export const keyAuth: Plugin = {
  name: 'key-auth',
  priority: 1250,
  access(exchange, config) {
    if (config['run_on_preflight'] === false && exchange.incoming.method === 'OPTIONS') return;
    authenticate(exchange, config, () => verify(exchange, config));
  },
};

function verify(exchange: Exchange, config: Config): Verdict {
  const realm = config['realm'];
  const challenge = typeof realm === 'string' ? `Key realm="${realm}"` : 'Key';
  const key = findKey(exchange, config);
  if (Array.isArray(key)) return { message: 'Duplicate API key found', challenge };
  if (typeof key !== 'string' || key === '') {
    return { message: 'No API key found in request', challenge };
  }
  const text = Buffer.from(key, 'latin1').toString('utf8');
  const row = exchange.node.entities.find('keyauth_credentials', 'key', text);
  if (row === undefined) return { message: 'Unauthorized', challenge };
  const credential = fromJson(row, 'drop');
  return { consumer: consumerOf(exchange, row), credential, identifier: index(credential, 'id') };
}

function findKey(exchange: Exchange, config: Config): LuaValue {
  const query = grouped(parseArguments(exchange.args, 100));
  for (const name of strings(config['key_names'] ?? ['apikey'])) {
    const lines = config['key_in_header'] === false ? [] : exchange.headers.all(name);
    const inQuery = config['key_in_query'] === false ? undefined : index(query, name);
    const key = lines.length > 1 ? lines : (lines[0] ?? inQuery);
    if (typeof key === 'string' && config['hide_credentials'] === true) hide(exchange, name);
    if (typeof key === 'string' || Array.isArray(key)) return key;
  }
  return undefined;
}

function hide(exchange: Exchange, name: string): void {
  exchange.headers.delete(name);
  exchange.args = exchange.args
    .split('&')
    .filter((argument) => parseArguments(argument, 1)[0]?.[0] !== name)
    .join('&');
}
