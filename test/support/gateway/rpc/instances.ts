import { setTimeout as sleep } from 'node:timers/promises';

import { LuaError, type LuaValue } from '../lua.ts';
import type { Config } from '../plugins/plugin.ts';
import type { PluginEvent } from './rpc.ts';

/** A plugin's configuration as a worker has it, with the bookkeeping that Kong adds. */
export interface PluginConf {
  readonly pluginId: string;
  /** New whenever the worker's list of plugins is rebuilt. */
  readonly seq: number;
  /** What StartInstance sends as JSON. */
  readonly config: Config;
}

/** What an RPC returns in Lua, `result` or `nil, error`; what raises is thrown as LuaError. */
export type RpcResult = { readonly result: LuaValue } | { readonly error: string };

/** How instances are started and closed, for an event; each transport has its own messages for it. */
export interface InstanceCalls {
  /** The result is the instance's id. */
  start(event: PluginEvent): Promise<RpcResult>;
  close(id: LuaValue, event: PluginEvent): Promise<void>;
}

interface Claim {
  id: LuaValue;
  seq: number;
}

const STEP_MS = 100;
const MAX_STEPS = 100;

/** One worker's running instances of the plugin (runloop/plugin_servers/plugin.lua, get_instance_id). */
export class Instances {
  readonly #claims = new Map<string, Claim>();
  readonly #pluginName: string;

  constructor(pluginName: string) {
    this.#pluginName = pluginName;
  }

  /**
   * The id for the event's configuration, starting an instance where there is none or its `__seq__` is old. An error
   * where somebody else's start never ends; throws where the start itself fails.
   */
  async claim(event: PluginEvent, calls: InstanceCalls): Promise<RpcResult> {
    const { conf } = event;
    let claim = this.#claims.get(conf.pluginId);
    for (let steps = 0; claim !== undefined && claim.id === undefined; steps++) {
      if (steps > MAX_STEPS) return this.#giveUp(conf);
      await sleep(STEP_MS);
      claim = this.#claims.get(conf.pluginId);
    }
    if (claim !== undefined && claim.seq === conf.seq) return { result: claim.id };
    return { result: await this.#start(event, claim, calls) };
  }

  /** Forgets every instance of the plugin. */
  reset(): void {
    for (const [pluginId, claim] of this.#claims) {
      // A start under way ends in its own claim, which must not be waited for any more.
      if (claim.id !== undefined) this.#claims.delete(pluginId);
    }
  }

  /** What `calls.start` throws leaves the claim, for which others then wait 10 s (Kong's rpc/pb_rpc.lua). */
  async #start(
    event: PluginEvent,
    old: Claim | undefined,
    calls: InstanceCalls,
  ): Promise<LuaValue> {
    const { conf } = event;
    const claim = old ?? { id: undefined, seq: conf.seq };
    const oldId = old?.id;
    claim.id = undefined;
    this.#claims.set(conf.pluginId, claim);
    const started = await calls.start(event);
    if ('error' in started) {
      this.#claims.delete(conf.pluginId);
      throw new LuaError(started.error);
    }
    claim.id = started.result;
    claim.seq = conf.seq;
    if (oldId !== undefined) await calls.close(oldId, event);
    return claim.id;
  }

  #giveUp(conf: PluginConf): RpcResult {
    this.#claims.delete(conf.pluginId);
    const error = `Could not claim instance_id for ${this.#pluginName} (key: ${conf.pluginId})`;
    return { error };
  }
}
