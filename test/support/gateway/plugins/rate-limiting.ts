import type { Exchange } from '../exchange.ts';
import { errorExit } from '../exit.ts';
import { type LuaValue, index } from '../lua.ts';
import { type Config, type Plugin, text } from './plugin.ts';

/**
 * A probe for what later plugins see of the consumer: the `minute` limit of kong/plugins/rate-limiting/handler.lua,
 * counted in memory for the whole node.
 */
export function rateLimiting(): Plugin {
  const counters = new Map<string, number>();
  return {
    name: 'rate-limiting',
    priority: 910,
    access(exchange, config) {
      const { minute: limit } = config;
      if (typeof limit !== 'number') return;
      const now = Math.floor(Date.now() / 1000);
      // As in Kong's key: two configurations count apart.
      const scope = text(config['route_id'] ?? config['service_id']);
      const key = `${String(now - (now % 60))}:${scope}:${identifier(exchange, config)}`;
      const used = counters.get(key) ?? 0;
      const reset = String(60 - (now % 60));
      setHeaders(exchange, { limit, remaining: Math.max(0, limit - used - 1), reset });
      if (used >= limit) throw exceeded(exchange, reset);
      counters.set(key, used + 1);
    },
  };
}

function identifier(exchange: Exchange, config: Config): string {
  const consumer = exchange.ctx.get('authenticated_consumer');
  const credential = exchange.ctx.get('authenticated_credential');
  const { limit_by: by } = config;
  const id = by === 'ip' ? undefined : index(by === 'credential' ? credential : consumer, 'id');
  const fallback = by === undefined || by === 'consumer' ? index(credential, 'id') : undefined;
  const found: LuaValue = id ?? fallback;
  return typeof found === 'string' ? found : exchange.remoteAddress;
}

function setHeaders(
  exchange: Exchange,
  { limit, remaining, reset }: { limit: number; remaining: number; reset: string },
): void {
  const lines: [string, string][] = [
    ['RateLimit-Remaining', String(remaining)],
    ['RateLimit-Reset', reset],
    ['RateLimit-Limit', String(limit)],
    ['X-RateLimit-Remaining-Minute', String(remaining)],
    ['X-RateLimit-Limit-Minute', String(limit)],
  ];
  for (const [name, value] of lines) exchange.responseHeaders.set(name, [value]);
}

function exceeded(exchange: Exchange, reset: string): Error {
  exchange.responseHeaders.set('Retry-After', [reset]);
  const fault = { status: 429, message: 'API rate limit exceeded' };
  return errorExit(fault, exchange.header('accept'), exchange.requestId);
}
