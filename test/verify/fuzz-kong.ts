import { randomUUID } from 'node:crypto';
import {
  type encodeConfig,
  index,
  isTable,
  type LuaValue,
  sequence,
} from '../support/gateway/lua.ts';

/** Somebody whom an auth plugin of the route has recognised. */
export interface Person {
  readonly id: string;
  readonly username: string;
}

/** nothing, nginx/session-guard.conf, nginx/session-guard-http.conf */
export const INCLUDES = ['none', 'proxy', 'http'] as const;
export type Include = (typeof INCLUDES)[number];

/** A request as it reaches the plugin; text is octets (latin1). */
export interface Visit {
  /** `$http_cookie`. */
  readonly cookies?: string;
  readonly person?: Person;
  /** What Kong's nginx includes. */
  readonly include?: Include;
}

/** What became of a request. */
export class Outcome {
  /** The consumer that the plugin made of it. */
  identity: string | undefined;
  /** The status of a response that did not come from the upstream. */
  exit: number | undefined;
  readonly setCookies: string[] = [];

  /** Takes one PDK call with its arguments. */
  take(method: string, [first, second]: readonly LuaValue[]): void {
    if (method === 'kong.client.authenticate') this.identity = idOf(first);
    if (method === 'kong.nginx.set_ctx' && first === 'authenticated_consumer') {
      this.identity = idOf(second);
    }
    if (method === 'kong.response.exit') this.exit = Number(first);
    if (method === 'kong.response.add_header' && first === 'Set-Cookie') {
      const lines = isTable(second) ? sequence(second) : [second];
      this.setCookies.push(...lines.map(textOf));
    }
  }
}

/** What is no text is no name of anything. */
export const textOf = (value: LuaValue): string => (typeof value === 'string' ? value : '');

const idOf = (consumer: LuaValue): string => textOf(index(consumer, 'id'));

const LINE = 'GET / HTTP/1.1';
/** Of a request without any of the 17 headers that nginx/session-guard-http.conf looks at. */
const SILENCE = '\t'.repeat(16);

/** Kong's answers to what the plugin asks about a request. Absent is nil. */
export function answer(
  { cookies, person, include }: Visit,
  method: string,
  argument: LuaValue,
): LuaValue | undefined {
  switch (method) {
    case 'kong.nginx.get_var':
      if (argument === 'http_cookie') return cookies;
      if (argument === 'session_guard' && include === 'proxy')
        return `1 ${LINE}\n\n${cookies ?? ''}`;
      if (argument === 'session_guard_turn' && include === 'http')
        return `2 ${LINE}\n${SILENCE}\n${cookies ?? ''}`;
      return argument === 'request' ? LINE : undefined;
    case 'kong.request.get_headers':
      return new Map(Object.entries({ host: 'fuzz.test', ...(cookies && { cookie: cookies }) }));
    case 'kong.client.get_credential':
      return person && new Map([['id', randomUUID()]]);
    case 'kong.client.get_consumer':
      return person && new Map(Object.entries(person));
    case 'kong.client.load_consumer':
      return new Map([
        ['id', argument],
        ['username', 'somebody'],
      ]);
    default:
      return undefined;
  }
}

export type Config = Parameters<typeof encodeConfig>[0];

/** Kong's side of a protocol, for many requests at once. */
export interface Kong {
  /** Rejects where Kong would answer 500, and where it would pass the request by itself. */
  visit(visit: Visit): Promise<Outcome>;
  close(): void;
}

/** Name=value pairs of the cookies that a sign-in sets. */
export async function signIn(kong: Kong, person: Person): Promise<string[]> {
  const { setCookies } = await kong.visit({ person });
  return setCookies.map((line) => line.split(';')[0] ?? '');
}
