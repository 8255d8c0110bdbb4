import { randomBytes, randomInt } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Instance } from '../pdk.ts';
import type { HostedPlugin } from './host.ts';

/** A string over MessagePack, an int32 other than 0 over ProtoBuf. */
export type InstanceId = string | number;

/**
 * Kong never closes the instances of deleted plugins (kong-protocol.md F20), so there is a bound,
 * far above the workers times the routes of a node: dropping one in use makes Kong 3.9 start all
 * instances of all workers anew.
 */
const MAX_INSTANCES = 50_000;

const MAX_INT32 = 0x7fffffff;

/**
 * The plugin's instances by the id Kong holds: one for each worker and configuration. Kong keeps
 * the ids of a process that died, so ids never repeat from one process to the next
 * (kong-protocol.md F4).
 */
export class Instances {
  readonly #plugin: HostedPlugin;
  readonly #byId = new LRUCache<InstanceId, Instance>({
    max: MAX_INSTANCES,
    dispose: (instance) => instance.close?.(),
  });
  readonly #prefix = randomBytes(12).toString('base64url');
  #count = 0;

  constructor(plugin: HostedPlugin) {
    this.#plugin = plugin;
  }

  get size(): number {
    return this.#byId.size;
  }

  /**
   * Starts an instance from Kong's JSON text. Throws what `create` throws, and on text that is no
   * configuration.
   */
  start(config: Uint8Array, kind: 'string' | 'int32'): InstanceId {
    const instance = this.#plugin.create(parseConfig(config));
    const id = kind === 'string' ? this.#nextString() : this.#nextInt32();
    this.#byId.set(id, instance);
    return id;
  }

  get(id: unknown): Instance | undefined {
    return typeof id === 'string' || typeof id === 'number' ? this.#byId.get(id) : undefined;
  }

  close(id: unknown): void {
    if (typeof id === 'string' || typeof id === 'number') this.#byId.delete(id);
  }

  #nextString(): string {
    this.#count += 1;
    return `${this.#prefix}.${this.#count}`;
  }

  #nextInt32(): number {
    for (;;) {
      const id = randomInt(1, MAX_INT32);
      if (!this.#byId.has(id)) return id;
    }
  }
}

const UTF8 = new TextDecoder('utf-8', { fatal: true });

/** JSON.parse's own messages quote the text, which holds secrets. */
function parseConfig(bytes: Uint8Array): object {
  let config: unknown;
  try {
    config = JSON.parse(UTF8.decode(bytes));
  } catch {
    throw new Error('the configuration is not JSON in UTF-8');
  }
  if (typeof config !== 'object' || config === null || Array.isArray(config)) {
    throw new Error('the configuration is not a JSON object');
  }
  return config;
}
