import { createHash } from 'node:crypto';

import { type Entity, idOf } from '../entities.ts';
import type { Exchange } from '../exchange.ts';
import { fromJson, index } from '../lua.ts';
import { type Verdict, authenticate, consumerOf } from './consumer.ts';
import type { Config, Plugin } from './plugin.ts';

/** kong/plugins/basic-auth/access.lua. */
export const basicAuth: Plugin = {
  name: 'basic-auth',
  priority: 1100,
  access(exchange, config) {
    authenticate(exchange, config, () => verify(exchange, config));
  },
};

function verify(exchange: Exchange, config: Config): Verdict {
  const realm = typeof config['realm'] === 'string' ? config['realm'] : 'service';
  const refused = { message: 'Unauthorized', challenge: `Basic realm="${realm}"` };
  const given = ['proxy-authorization', 'authorization'].map((name) => {
    const credentials = parseBasic(exchange.header(name));
    if (config['hide_credentials'] === true) exchange.headers.delete(name);
    return credentials;
  });
  for (const credentials of given) {
    const row = credentials && findCredential(exchange, credentials.username);
    if (credentials === undefined || row === undefined) continue;
    if (row['password'] !== hashPassword(row, credentials.password)) return refused;
    const credential = fromJson(row, 'drop');
    const identifier = index(credential, 'username');
    return { consumer: consumerOf(exchange, row), credential, identifier };
  }
  return refused;
}

function findCredential(exchange: Exchange, username: string): Entity | undefined {
  const text = Buffer.from(username, 'latin1').toString('utf8');
  return exchange.node.entities.find('basicauth_credentials', 'username', text);
}

function parseBasic(
  header: string | undefined,
): { username: string; password: string } | undefined {
  const encoded = /^\s*basic\s*(.+)$/i.exec(header ?? '')?.[1];
  if (encoded === undefined) return undefined;
  const decoded = Buffer.from(encoded, 'base64').toString('latin1');
  const [, username, password] = /^([^:]+):(.*)$/s.exec(decoded) ?? [];
  if (username === undefined || password === undefined) return undefined;
  return { username, password };
}

/** kong/plugins/basic-auth/crypto.lua: SHA-1 of the password's bytes with the consumer's id as the salt. */
function hashPassword(credential: Entity, password: string): string {
  const salt = idOf(credential['consumer']) ?? '';
  return createHash('sha1').update(Buffer.from(password, 'latin1')).update(salt).digest('hex');
}
