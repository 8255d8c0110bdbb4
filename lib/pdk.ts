/**
 * One call of Kong's plugin development kit: the dotted Lua name and its arguments. Strings are
 * byte strings in both directions: one UTF-16 unit (0–255) for each byte, as node's `latin1`, so that
 * header bytes that are not UTF-8 survive the way through the plugin. Absent values are `undefined`; null and false
 * mean something else in every transport, so they are not sent. A frozen call is encoded once.
 */
export type PdkCall = readonly [method: string, ...args: PdkValue[]];

export type PdkValue =
  | string
  | number
  | boolean
  | Uint8Array
  | readonly PdkValue[]
  | { readonly [name: string]: PdkValue | undefined };

/**
 * How a request's plugin handler talks to Kong. Each transport (lib/server/) and the adapter for the
 * stock plugin server (plugins/session-guard.ts) implements it.
 */
export interface Pdk {
  /**
   * True where a batch costs one round trip whatever its length (ProtoBuf). Where each call is a round trip
   * of its own (MessagePack) the reader asks only for what it needs.
   */
  readonly pipelined: boolean;
  /**
   * True where `nginx.set_ctx` is the right way to hand over an identity, because `client.authenticate`
   * would invent empty fields (ProtoBuf).
   */
  readonly identityByContext: boolean;
  /** Runs the calls in order and returns their first results in the same order. */
  read(calls: readonly PdkCall[]): Promise<unknown[]>;
  /**
   * Runs the calls in order and ends the event, which every handler must do: nothing may be asked of Kong afterwards. A
   * `kong.response.exit` can only be the last call.
   */
  act(calls: readonly PdkCall[]): Promise<void>;
}

/** A request's handler as the servers see it: one plugin instance, one configuration. */
export interface Instance {
  access(pdk: Pdk): Promise<unknown>;
  /** Kong will not ask it again. */
  close?(): void;
}
