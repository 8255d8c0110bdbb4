import type { Json } from '../entities.ts';
import type { Exchange } from '../exchange.ts';
import { type Exit, errorExit } from '../exit.ts';
import { headerValues } from '../headers.ts';
import { LuaError, type LuaValue, fromJson, index } from '../lua.ts';
import type { Config } from './plugin.ts';

/** What an authentication ends with: a consumer and its credential, or the answer to the client. */
export type Verdict =
  | { readonly consumer: LuaValue; readonly credential: LuaValue; readonly identifier: LuaValue }
  | { readonly message: string; readonly challenge: string };

/**
 * The frame of Kong's auth plugins: without `anonymous` a failure is a 401 whatever happened before (AND); with it a
 * credential that another plugin found is enough, and a failure makes the request anonymous (OR).
 */
export function authenticate(exchange: Exchange, config: Config, verify: () => Verdict): void {
  const { anonymous } = config;
  const isOr = typeof anonymous === 'string' && anonymous !== '';
  if (isOr && exchange.ctx.get('authenticated_credential') !== undefined) return;
  const verdict = verify();
  if (!('message' in verdict)) setConsumer(exchange, verdict);
  else if (isOr) setConsumer(exchange, anonymousConsumer(exchange, anonymous));
  else throw unauthorized(exchange, verdict.message, verdict.challenge);
}

function unauthorized(exchange: Exchange, message: string, challenge: string): Exit {
  return errorExit(
    { status: 401, message, headers: [['WWW-Authenticate', challenge]] },
    exchange.header('accept'),
    exchange.requestId,
  );
}

type Identity = Exclude<Verdict, { message: string }>;

function anonymousConsumer(exchange: Exchange, anonymous: string): Identity {
  const { entities } = exchange.node;
  const consumer =
    entities.get('consumers', anonymous) ?? entities.find('consumers', 'username', anonymous);
  if (consumer === undefined) {
    throw new LuaError(`anonymous consumer ${anonymous} is configured but doesn't exist`);
  }
  return { consumer: fromJson(consumer, 'drop'), credential: undefined, identifier: undefined };
}

/** The consumer that a credential row belongs to. */
export function consumerOf(exchange: Exchange, credential: { [field: string]: Json }): LuaValue {
  const id = index(fromJson(credential, 'drop'), 'consumer');
  const key = index(id, 'id');
  const consumer =
    typeof key === 'string' ? exchange.node.entities.get('consumers', key) : undefined;
  return fromJson(consumer ?? null, 'drop');
}

function setConsumer(exchange: Exchange, { consumer, credential, identifier }: Identity): void {
  exchange.ctx.set('authenticated_consumer', consumer);
  exchange.ctx.set('authenticated_credential', credential);
  const headers: [string, LuaValue][] = [
    ['X-Consumer-ID', index(consumer, 'id')],
    ['X-Consumer-Custom-ID', index(consumer, 'custom_id')],
    ['X-Consumer-Username', index(consumer, 'username')],
    ['X-Credential-Identifier', identifier],
    ['X-Anonymous-Consumer', credential === undefined ? true : undefined],
  ];
  for (const [name, value] of headers) {
    if (value === undefined) exchange.headers.delete(name);
    else exchange.headers.set(name, headerValues(value));
  }
}
