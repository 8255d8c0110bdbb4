import type { Consumer } from './consumers.ts';

/** Method and target as the client sent them. */
export interface RequestLine {
  readonly method: string;
  /** Undecoded, without the query. */
  readonly path: string;
  /** What stands behind the question mark, undecoded; `''` without one. */
  readonly query: string;
}

export interface RequestBody {
  readonly type: string;
  readonly bytes: Uint8Array;
}

/** Where a request came from: what Kong says, trusted proxies considered. */
export type Trait = 'ip' | 'scheme' | 'user-agent';
export type Traits = { readonly [T in Trait]?: string };

/** One request as the guard sees it. What is not known yet is asked of Kong when it is needed. */
export interface Request {
  /** The Cookie header as a byte string, several lines joined; `''` without one. */
  readonly cookies: string;
  /**
   * Those of its headers that speak for Kong or for us to whoever folds underscores into dashes: the names in lower case
   * (lib/clearing.ts). `undefined` = not known, so any may be there.
   */
  readonly spoken: readonly string[] | undefined;
  /** The client sent none of those, so they are Kong's own. */
  readonly isUnclaimed: boolean;
  /** The credential that an auth plugin verified in this request. */
  readonly credential: { readonly id?: string } | undefined;
  /** The consumer that an auth plugin set, the anonymous one included. */
  consumer(): Promise<Consumer | undefined>;
  /** The line's method, where it is known already. */
  readonly method: string | undefined;
  line(): Promise<RequestLine>;
  /** The body where it is small enough to look into. */
  body(): Promise<RequestBody | undefined>;
  traits(wanted: readonly Trait[]): Promise<Traits>;
  hasHeader(name: string): Promise<boolean>;
  /** The groups that an auth plugin found. */
  groups(): Promise<readonly string[] | undefined>;
  /** Milliseconds since Kong began to read the request; 0 where it does not say. */
  age(): Promise<number>;
  /** Asks Kong for a consumer by id. */
  loadConsumer(id: string): Promise<Consumer | undefined>;
}
