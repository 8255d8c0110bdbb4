import { recall } from './channel.ts';
import type { Decision } from './guard.ts';
import { presentedBy } from './presented.ts';
import type { Guard } from './presence.ts';
import type { Request } from './request.ts';
import { isRenewalDue, judge } from './session.ts';

const NO_COOKIES: readonly string[] = [];

/**
 * Decides what most requests are: one cookie that this node has seen before, a session that it knows, nothing due.
 * Asks nobody and waits for nothing. `undefined` whenever there is more to it, which says nothing about the request:
 * then the guard decides.
 */
export function recognise(guard: Guard, request: Request): Decision | undefined {
  const { channels, config, consumers, storage } = guard;
  if (!isPlain(guard) || request.credential || !request.method) return undefined;
  if (config.logout.methods.has(request.method)) return undefined;
  const { own, tokens } = recall(channels.session, request.cookies) ?? {};
  const token = tokens?.length === 1 ? tokens[0] : undefined;
  if (token === undefined || token.isFallback) return undefined;
  const entry = token.entries.find(({ audience }) => audience === config.audience);
  const session = entry && storage.peek(presentedBy(entry, channels.session));
  if (!session || session.realm !== config.realm || session.audience !== config.audience) {
    return undefined;
  }
  const now = storage.now();
  const { lifetime, timeouts, touchInterval } = config;
  if (judge(session, entry.generation, timeouts, now) !== 'current') return undefined;
  if (isRenewalDue(session, timeouts, now)) return undefined;
  const consumer = consumers.peek(session.consumerId, config.consumerTtl);
  if (consumer === undefined) return undefined;
  const use = { generation: entry.generation, lifetime, touchInterval, prolongs: true };
  // Where the cookie has to carry the use it is due to be sent again.
  if (storage.seen(session, use) !== session) return undefined;
  return { kind: 'session', consumer, session, cookies: NO_COOKIES, rest: own?.rest };
}

/** Whether the configuration asks for nothing that has to be looked into with every request. */
const isPlain = ({ channels, config, credentials }: Guard): boolean =>
  credentials === undefined &&
  channels.remember === undefined &&
  config.selfServicePath === undefined &&
  config.bind.length === 0 &&
  config.idleExempt.header === undefined &&
  config.idleExempt.paths.length === 0;
