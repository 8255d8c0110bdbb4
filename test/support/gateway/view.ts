import type { StartConfig } from './admin/index.ts';
import { type Entities, type Entity, idOf } from './entities.ts';
import type { Exchange } from './exchange.ts';
import { index } from './lua.ts';
import { type Config, text } from './plugins/plugin.ts';

/** One plugin of the configuration as a worker runs it. */
export interface Configured {
  readonly name: string;
  /** What StartInstance would send: the fields of `config` and Kong's bookkeeping keys. */
  readonly config: Config;
}

interface Scoped extends Configured {
  readonly route: string | undefined;
  readonly service: string | undefined;
  readonly consumer: string | undefined;
}

/**
 * The configuration as one worker sees it: routes, services and plugins are copied when they change, so that a
 * change can reach the workers late; consumers and credentials are read at once (worker_state_update_frequency).
 */
export class View {
  readonly #entities: Entities;
  readonly #startConfig: StartConfig;
  #routes: Entity[] = [];
  #services = new Map<string, Entity>();
  #plugins = new Map<string, Scoped[]>();
  #seq = 0;

  constructor(entities: Entities, startConfig: StartConfig) {
    this.#entities = entities;
    this.#startConfig = startConfig;
    this.copyRoutes();
    this.copyPlugins();
  }

  get routes(): readonly Entity[] {
    return this.#routes;
  }

  service(id: string | undefined): Entity | undefined {
    return id === undefined ? undefined : this.#services.get(id);
  }

  copyRoutes(): void {
    this.#routes = this.#entities.list('routes');
    this.#services = new Map(this.#entities.list('services').map((one) => [one.id, one]));
  }

  /** Rebuilds the list of plugins, which gives every one of them a new `__seq__` (Kong's plugin_servers/plugin.lua). */
  copyPlugins(): void {
    this.#plugins = new Map();
    for (const entity of this.#entities.list('plugins')) {
      if (entity['enabled'] === false) continue;
      const scoped = this.#scoped(entity);
      this.#plugins.set(scoped.name, [...(this.#plugins.get(scoped.name) ?? []), scoped]);
    }
  }

  /**
   * The configuration that applies to the request at this moment, the most specific one for its route, service
   * and consumer (kong/runloop/plugins_iterator.lua).
   */
  configurationFor(name: string, exchange: Exchange): Configured | undefined {
    const plugins = this.#plugins.get(name);
    if (plugins === undefined) return undefined;
    const consumer = index(exchange.ctx.get('authenticated_consumer'), 'id');
    const route = exchange.match?.route.id;
    const service = exchange.match?.service?.id;
    let best: Scoped | undefined;
    for (const one of plugins) {
      const applies =
        (one.route ?? route) === route &&
        (one.service ?? service) === service &&
        (one.consumer ?? consumer) === consumer;
      if (applies && (best === undefined || specificity(one) > specificity(best))) best = one;
    }
    return best;
  }

  #scoped(entity: Entity): Scoped {
    const seq = ++this.#seq;
    const startConfig = this.#startConfig;
    let config: Config | undefined;
    return {
      name: text(entity['name']),
      // Made when a request needs it: most plugins are replaced before one does.
      get config() {
        return (config ??= startConfig(entity, seq));
      },
      route: idOf(entity['route']),
      service: idOf(entity['service']),
      consumer: idOf(entity['consumer']),
    };
  }
}

/** route+service+consumer, route+consumer, service+consumer, route+service, consumer, route, service, global. */
function specificity({ route, service, consumer }: Scoped): number {
  const pair = Number(route !== undefined) * 2 + Number(service !== undefined);
  return (consumer === undefined ? [0, 1, 2, 4] : [3, 5, 6, 7])[pair] ?? 0;
}
