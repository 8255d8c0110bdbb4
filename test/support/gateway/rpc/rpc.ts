import type { Exchange } from '../exchange.ts';
import type { Conversation } from '../recorder.ts';
import type { Instances, PluginConf } from './instances.ts';
import type { ConnectionPool } from './pool.ts';

/** A worker's way to the plugin server; MsgPack:1 and ProtoBuf:1 implement it. */
export interface Rpc {
  /**
   * Runs one phase of the plugin. Returns where the request goes on, also after failures that Kong only logs;
   * throws LuaError where Kong answers 500, and Exit where the plugin ended the request.
   */
  handleEvent(event: PluginEvent): Promise<void>;
}

export interface PluginEvent {
  readonly exchange: Exchange;
  readonly conf: PluginConf;
  readonly phase: 'access';
  readonly conversation: Conversation;
}

export interface RpcWiring {
  /** The plugin's name. */
  readonly name: string;
  readonly pool: ConnectionPool;
  readonly instances: Instances;
  readonly readTimeoutMs: number;
  /** Forgets the plugin's instances in all workers of the node. */
  resetInstances(): void;
}

/**
 * Kong retries for ever; a stand-in that did would hang the test instead of failing it. A server that is ending closes
 * each connection of a pool (256) in its turn.
 */
export const MAX_RETRIES = 500;
