import { randomUUID } from 'node:crypto';
import { EventEmitter } from 'node:events';

/** The entities of the Admin API that the stand-in knows, by the name of their collection. */
export type Kind =
  | 'services'
  | 'routes'
  | 'consumers'
  | 'keyauth_credentials'
  | 'basicauth_credentials'
  | 'acls'
  | 'plugins';

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** An entity as the Admin API shows it: `created_at`/`updated_at` in Unix seconds, foreign keys as `{id}`. */
export type Entity = { id: string } & { [field: string]: Json };

const KINDS: readonly Kind[] = [
  'services',
  'routes',
  'consumers',
  'keyauth_credentials',
  'basicauth_credentials',
  'acls',
  'plugins',
];

/**
 * What the Admin API writes and the proxy reads. Emits `change` with the kind after every write, so that the
 * workers can rebuild what they derive from it.
 */
export class Entities extends EventEmitter<{ change: [kind: Kind] }> {
  readonly #tables = new Map<Kind, Map<string, Entity>>(KINDS.map((kind) => [kind, new Map()]));

  /** Adds or replaces an entity; an id is made where there is none. */
  put(kind: Kind, fields: { [field: string]: Json }): Entity {
    const id = typeof fields['id'] === 'string' ? fields['id'] : randomUUID();
    const entity: Entity = { ...fields, id };
    this.#table(kind).set(id, entity);
    this.emit('change', kind);
    return entity;
  }

  delete(kind: Kind, id: string): boolean {
    const existed = this.#table(kind).delete(id);
    if (existed) this.emit('change', kind);
    return existed;
  }

  get(kind: Kind, id: string): Entity | undefined {
    return this.#table(kind).get(id);
  }

  /** In order of creation. */
  list(kind: Kind): Entity[] {
    return [...this.#table(kind).values()];
  }

  find(kind: Kind, field: string, value: Json): Entity | undefined {
    return this.list(kind).find((entity) => entity[field] === value);
  }

  /** The entities whose foreign key `field` points to `id`. */
  referring(kind: Kind, field: string, id: string): Entity[] {
    return this.list(kind).filter((entity) => idOf(entity[field]) === id);
  }

  #table(kind: Kind): Map<string, Entity> {
    const table = this.#tables.get(kind);
    if (table === undefined) throw new TypeError(`unknown kind of entity: ${kind}`);
    return table;
  }
}

/** The id in a foreign key `{id}`. */
export function idOf(reference: Json | undefined): string | undefined {
  if (reference === null || typeof reference !== 'object' || Array.isArray(reference))
    return undefined;
  const id = reference['id'];
  return typeof id === 'string' ? id : undefined;
}
