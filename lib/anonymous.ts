import { EVERY_HEADER } from './clearing.ts';
import type { Consumer } from './consumers.ts';

/** One for each auth plugin's `anonymous` on the routes of a configuration; seldom more than one. */
const MAX = 16;

/** The values of {@link EVERY_HEADER} in one line, as nginx/session-guard-http.conf has them. */
const lineOf = (values: Readonly<Record<string, string | undefined>>): string =>
  EVERY_HEADER.map((name) => values[name] ?? '').join('\t');

/** The line of a request that has none of these headers. */
export const SILENCE = lineOf({});

/**
 * Whether an auth plugin says in the line that it let the request pass without a credential, as all of Kong's
 * do (`set_consumer` in kong/plugins/key-auth/handler.lua). A client can say it too.
 */
export const saysAnonymous = (line: string | undefined): boolean =>
  line?.split('\t')[EVERY_HEADER.indexOf('X-Anonymous-Consumer')] === 'true';

/**
 * What Kong says of the anonymous consumers that it has confirmed. A request of which exactly this is said has no
 * credential, and no header that another one of theirs has not.
 */
export class AnonymousConsumers {
  readonly #known = new Map<string, readonly string[]>();
  /** What was asked for last: to compare a line takes less than to look it up. */
  #last: { readonly line: string; readonly headers: readonly string[] } | undefined;

  /** The names in lower case of the headers that say it; `undefined` where it is not what Kong says. */
  headersIn(line: string | undefined): readonly string[] | undefined {
    if (line === undefined) return undefined;
    if (line === this.#last?.line) return this.#last.headers;
    const headers = this.#known.get(line);
    if (headers) this.#last = { line, headers };
    return headers;
  }

  /** @param consumer Kong's, of a request without a credential */
  add({ id, customId, username }: Consumer): void {
    const said = {
      'X-Consumer-ID': id,
      ...(customId !== undefined && { 'X-Consumer-Custom-ID': customId }),
      ...(username !== undefined && { 'X-Consumer-Username': username }),
      'X-Anonymous-Consumer': 'true',
    };
    if (this.#known.size >= MAX) this.#known.clear();
    this.#known.set(
      lineOf(said),
      Object.keys(said).map((name) => name.toLowerCase()),
    );
  }
}
