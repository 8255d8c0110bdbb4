import type { Exchange } from '../exchange.ts';
import type { LuaValue } from '../lua.ts';

/** On whose behalf a PDK function runs. */
export interface PdkScope {
  readonly exchange: Exchange;
  readonly plugin: { readonly name: string; readonly id: string };
}

/**
 * A PDK function in the access phase: it returns Lua's first return value (the protocols carry no other), or
 * throws LuaError where the Lua function raises. A promise where the Lua function yields.
 */
export type PdkFunction = (scope: PdkScope, ...values: LuaValue[]) => LuaValue | Promise<LuaValue>;

export type PdkModule = Readonly<Record<string, PdkFunction>>;
