import { openChannels } from '../../lib/channel.ts';
import { parseConfig } from '../../lib/config.ts';
import { Consumers } from '../../lib/consumers.ts';
import type { Consumer } from '../../lib/consumers.ts';
import { decide } from '../../lib/guard.ts';
import type { Decision } from '../../lib/guard.ts';
import type { Guard } from '../../lib/presence.ts';
import type { Request, Trait, Traits } from '../../lib/request.ts';
import type { Storage } from '../../lib/storage.ts';

export const SECRET = 'Xk3v9Qp7Lr2Tz8Ws5Yb1Nc6Md4Fg0HjKEaRiUo';

export const alice: Consumer = {
  id: '11111111-1111-4111-8111-111111111111',
  username: 'alice',
  customId: 'c-alice',
};
export const bob: Consumer = { id: '22222222-2222-4222-8222-222222222222', username: 'bob' };

export interface Visit {
  readonly credential?: { readonly id?: string };
  /** Whom Kong's auth plugins took the request for. */
  readonly consumer?: Consumer;
  readonly method?: string;
  readonly target?: string;
  readonly traits?: Traits;
  readonly headers?: readonly string[];
  readonly groups?: readonly string[];
  /** How long Kong has had the request; milliseconds. */
  readonly age?: number;
}

/** An instance without Kong around it: its storage is the caller's. Every consumer exists. */
export function openGuard(fields: object, storage: Storage): Guard {
  const config = parseConfig({ secret: SECRET, ...fields });
  return {
    config,
    storage,
    consumers: new Consumers(() => storage.now()),
    credentials: undefined,
    channels: openChannels(config),
  };
}

/** The guard over the same storage, but for these answers of it. */
export function answering(guard: Guard, answers: Partial<Storage>): Guard {
  const get = (target: Storage, name: string | symbol): unknown => {
    const value: unknown = Reflect.get(answers, name) ?? Reflect.get(target, name);
    return typeof value === 'function' ? (value.bind(target) as unknown) : value;
  };
  return { ...guard, storage: new Proxy(guard.storage, { get }) };
}

/** A browser: keeps the cookies that it is given, and sends them back. */
export class Visitor {
  readonly jar = new Map<string, string>();

  get cookies(): string {
    return [...this.jar].map(([name, value]) => `${name}=${value}`).join('; ');
  }

  /** A copy of the browser as it is now, as a thief would have it. */
  copy(): Visitor {
    const copy = new Visitor();
    for (const [name, value] of this.jar) copy.jar.set(name, value);
    return copy;
  }

  async visit(guard: Guard, visit: Visit = {}): Promise<Decision> {
    const decision = await decide(guard, requestOf(this.cookies, visit));
    if (decision.kind !== 'unavailable') for (const line of decision.cookies) this.#take(line);
    return decision;
  }

  #take(line: string): void {
    const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
    if (/; Max-Age=0;/.test(line)) this.jar.delete(name);
    else this.jar.set(name, value);
  }
}

export function requestOf(cookies: string, visit: Visit): Request {
  const [path = '/', query = ''] = (visit.target ?? '/').split('?');
  return {
    cookies,
    spoken: undefined,
    isUnclaimed: false,
    credential: visit.credential,
    consumer: () => Promise.resolve(visit.consumer),
    method: visit.method ?? 'GET',
    line: () => Promise.resolve({ method: visit.method ?? 'GET', path, query }),
    body: () => Promise.resolve(undefined),
    traits: (wanted: readonly Trait[]) =>
      Promise.resolve(
        Object.fromEntries(
          wanted.flatMap((name) => (visit.traits?.[name] ? [[name, visit.traits[name]]] : [])),
        ),
      ),
    hasHeader: (name) => Promise.resolve(visit.headers?.includes(name) ?? false),
    groups: () => Promise.resolve(visit.groups),
    age: () => Promise.resolve(visit.age ?? 0),
    loadConsumer: (id) => Promise.resolve([alice, bob].find((consumer) => consumer.id === id)),
  };
}

export const signInAs = (consumer: Consumer, key = `key of ${consumer.id}`): Visit => ({
  credential: { id: key },
  consumer,
});

/** The token with one character of its tag changed. */
export function damage(token: string): string {
  const at = token.lastIndexOf('.') + 1;
  return token.slice(0, at) + (token[at] === 'A' ? 'B' : 'A') + token.slice(at + 1);
}
