import type { Log } from '../log.ts';
import type { Instance } from '../pdk.ts';
import { Instances } from './instances.ts';

/** The plugin that the server runs. */
export interface HostedPlugin {
  readonly name: string;
  readonly version: string;
  readonly priority: number;
  readonly phases: readonly ['access'];
  /** Kong's schema of the plugin, whole: `{name, fields: […]}`. */
  readonly schema: object;
  /** Throws to refuse a configuration. The message reaches Kong's log, so it quotes no values. */
  create(config: object): Instance;
  /** Called once, when no request runs any more: writes what is pending and closes pools. */
  close(): Promise<void>;
}

export interface HostOptions {
  readonly plugin: HostedPlugin;
  readonly log: Log;
  /**
   * Milliseconds a request may take until it is answered with 503. Kong would wait for 60 s and
   * then let it pass. The default leaves the plugin time to give an answer of its own after 5 s.
   */
  readonly deadline?: number;
}

/**
 * What the connections of a server share: the plugin, its instances, and how many requests are
 * running.
 */
export class Host {
  readonly plugin: HostedPlugin;
  readonly log: Log;
  readonly deadline: number;
  readonly instances: Instances;
  /** Set once: from then on Kong is sent on to the server after us where the protocol allows it. */
  isDraining = false;
  #running = 0;
  #whenIdle: (() => void)[] = [];

  constructor({ plugin, log, deadline = 6000 }: HostOptions) {
    this.plugin = plugin;
    this.log = log;
    this.deadline = deadline;
    this.instances = new Instances(plugin, log);
  }

  get running(): number {
    return this.#running;
  }

  began(): void {
    this.#running += 1;
  }

  ended(): void {
    this.#running -= 1;
    if (this.#running > 0) return;
    for (const resolve of this.#whenIdle.splice(0)) resolve();
  }

  /** Resolves when no request is running. */
  idle(): Promise<void> {
    if (this.#running === 0) return Promise.resolve();
    return new Promise((resolve) => this.#whenIdle.push(resolve));
  }
}
