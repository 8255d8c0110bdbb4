import type { Json } from '../entities.ts';
import type { Exchange } from '../exchange.ts';

export type Config = { readonly [field: string]: Json | undefined };

/** A plugin of the access phase, as Kong's plugin loop runs it. */
export interface Plugin {
  readonly name: string;
  readonly priority: number;
  /** Throws Exit to end the request, LuaError for Kong's 500. */
  access(exchange: Exchange, config: Config): Promise<void> | void;
  /** Adds headers to whatever response leaves, a plugin's own included. */
  headerFilter?(exchange: Exchange, config: Config): void;
}

/** A field that the schema makes a string or number; "" where it is absent. */
export function text(value: Json | undefined): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}

export function strings(value: Json | undefined): string[] {
  return Array.isArray(value) ? value.filter((element) => typeof element === 'string') : [];
}
