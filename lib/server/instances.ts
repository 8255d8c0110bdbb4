import { randomBytes, randomInt } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Place } from '../events.ts';
import type { Log } from '../log.ts';
import type { Instance } from '../pdk.ts';
import { placeOf } from '../place.ts';
import type { HostedPlugin } from './host.ts';

/** A string over MessagePack, an int32 other than 0 over ProtoBuf. */
export type InstanceId = string | number;

/**
 * Kong never closes the instances of deleted plugins (Kong's plugin_servers/plugin.lua), so there is a bound,
 * far above the workers times the routes of a node: dropping one in use makes Kong 3.9 start all
 * instances of all workers anew.
 */
const MAX_INSTANCES = 50_000;

const MAX_INT32 = 0x7fffffff;

/**
 * The plugin's instances by the id Kong holds: one for each worker and configuration. Kong keeps
 * the ids of a process that died, so ids never repeat from one process to the next
 * (kong-pdk's do: they count from 0).
 */
export class Instances {
  readonly #plugin: HostedPlugin;
  readonly #log: Log;
  readonly #byId = new LRUCache<InstanceId, Instance>({
    max: MAX_INSTANCES,
    dispose: (instance) => instance.close?.(),
  });
  readonly #prefix = randomBytes(12).toString('base64url');
  #count = 0;
  /**
   * Counted from a random number: of two processes the runs hardly ever meet, while ids drawn one by one would, once
   * there are thousands.
   */
  #lastInt32 = randomInt(1, MAX_INT32);

  constructor(plugin: HostedPlugin, log: Log) {
    this.#plugin = plugin;
    this.#log = log;
  }

  get size(): number {
    return this.#byId.size;
  }

  /**
   * Starts an instance from Kong's JSON text. Throws what `create` throws, and on text that is no
   * configuration; over ProtoBuf Kong is not told why, so the log says it.
   */
  start(config: Uint8Array, kind: 'string' | 'int32'): InstanceId {
    const instance = this.#create(config);
    const id = kind === 'string' ? this.#nextString() : this.#nextInt32();
    this.#byId.set(id, instance);
    return id;
  }

  #create(config: Uint8Array): Instance {
    let place: Place = {};
    try {
      const parsed = parseConfig(config);
      place = placeOf(parsed);
      return this.#plugin.create(parsed);
    } catch (err) {
      this.#log.error({ event: 'instance-refused', ...place, err }, 'refused a configuration');
      throw err;
    }
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
    do this.#lastInt32 = this.#lastInt32 < MAX_INT32 ? this.#lastInt32 + 1 : 1;
    while (this.#byId.has(this.#lastInt32));
    return this.#lastInt32;
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
