import type { Exchange } from './exchange.ts';
import { Exit, errorExit } from './exit.ts';
import { LuaError } from './lua.ts';
import type { Plugin } from './plugins/plugin.ts';
import type { Configured, View } from './view.ts';

export interface Outcome {
  /** The response of the plugin that ended the request; undefined where it goes to the upstream. */
  readonly exit: Exit | undefined;
  /** Lets the plugins add their headers to the response. */
  readonly filterHeaders: () => void;
}

/**
 * Kong's access phase: every plugin in the order of its priority, its configuration looked up at its turn. After an
 * exit the look-ups go on for the sake of the header filters (kong/runloop/plugins_iterator.lua).
 */
export async function runAccess(
  exchange: Exchange,
  view: View,
  plugins: readonly Plugin[],
): Promise<Outcome> {
  let exit: Exit | undefined;
  const collected: { plugin: Plugin; configured: Configured }[] = [];
  for (const plugin of plugins) {
    const configured = view.configurationFor(plugin.name, exchange);
    if (configured === undefined) continue;
    collected.push({ plugin, configured });
    if (exit !== undefined) continue;
    try {
      await plugin.access(exchange, configured.config);
    } catch (error) {
      exit = exitOf(error, exchange, plugin);
    }
  }
  return {
    exit,
    filterHeaders() {
      for (const { plugin, configured } of collected) {
        plugin.headerFilter?.(exchange, configured.config);
      }
    },
  };
}

/** A Lua error ends in 500, with the headers that were added before it. */
function exitOf(error: unknown, exchange: Exchange, plugin: Plugin): Exit {
  if (error instanceof Exit) return error;
  if (!(error instanceof LuaError)) throw error;
  exchange.node.log.write('error', error.message, plugin.name);
  return errorExit({ status: 500 }, exchange.headers.all('accept').join(','), exchange.requestId);
}
