import { isDeepStrictEqual } from 'node:util';
import { idOf } from '../entities.ts';
import type { Entities, Entity, Json, Kind } from '../entities.ts';
import type { Catalogue } from './catalogue.ts';
import { DEFINITIONS, definitionOf } from './definitions.ts';
import type { Definition } from './definitions.ts';
import * as errors from './errors.ts';
import { fill, merge, withShorthands } from './fill.ts';
import type { Source } from './fill.ts';
import { eachField, isTable, textOf } from './schema.ts';
import type { Schema, Table } from './schema.ts';
import { isUuid, validate } from './validate.ts';

/** Reads and writes entities by Kong's rules (kong/db/dao/init.lua). Refusals are thrown as AdminError. */
export class Dao {
  readonly #entities: Entities;
  readonly #catalogue: Catalogue;
  readonly #source: Source;

  constructor(entities: Entities, catalogue: Catalogue, source: Source) {
    this.#entities = entities;
    this.#catalogue = catalogue;
    this.#source = source;
  }

  /** By id or by the definition's endpoint key (name, username, key). */
  find({ kind, endpointKey }: Definition, key: string): Entity | undefined {
    if (isUuid(key)) return this.#entities.get(kind, key);
    return endpointKey === undefined ? undefined : this.#entities.find(kind, endpointKey, key);
  }

  /** In the order of their ids, as Kong pages. */
  list({ kind }: Definition, parent?: { field: string; id: string }): Entity[] {
    const all = parent
      ? this.#entities.referring(kind, parent.field, parent.id)
      : this.#entities.list(kind);
    return all.toSorted((a, b) => (a.id < b.id ? -1 : 1));
  }

  insert(definition: Definition, input: Table): Entity {
    const schema = this.schemaOf(definition, input);
    const data = this.#checked(schema, fill(schema, input, 'insert', this.#source));
    const id = textOf(data['id'] ?? null);
    if (this.#entities.get(definition.kind, id)) throw errors.primaryKeyViolation(id);
    return this.#store(definition, data, input);
  }

  /** PATCH: `input` over the entity; records are merged. */
  update(definition: Definition, entity: Entity, input: Table): Entity {
    const schema = this.schemaOf(definition, { ...entity, ...input });
    const change = fill(schema, input, 'update', this.#source);
    const data = this.#checked(schema, merge(schema, change, entity));
    return this.#store(definition, fill(schema, data, 'select', this.#source), input);
  }

  /** PUT: replaces the entity that `key` finds, or makes one with that id or name. */
  upsert(definition: Definition, key: string, input: Table): Entity {
    const { endpointKey } = definition;
    const named = { ...input };
    if (isUuid(key)) named['id'] = key;
    else if (endpointKey === undefined) throw errors.notFound();
    else named[endpointKey] = key;
    const existing = this.find(definition, key);
    const schema = this.schemaOf(definition, named);
    const filled = fill(schema, named, 'upsert', this.#source);
    const data = this.#checked(schema, existing ? { ...filled, id: existing.id } : filled);
    return this.#store(definition, data, input);
  }

  /** Deletes what refers to the entity with it, or refuses where that is not allowed. */
  delete({ kind }: Definition, id: string): void {
    const referring = DEFINITIONS.flatMap((child) =>
      eachField(child.schema)
        .filter(([, field]) => field.reference === kind)
        .map(([name, field]) => ({
          child,
          restricted: field.on_delete === undefined,
          entities: this.#entities.referring(child.kind, name, id),
        })),
    );
    const restricting = referring.find(({ restricted, entities }) => restricted && entities.length);
    if (restricting) throw errors.stillReferenced(kind, restricting.child.kind);
    for (const { child, entities } of referring)
      for (const entity of entities) this.delete(child, entity.id);
    this.#entities.delete(kind, id);
  }

  /** What `insert` would say to `input`, without storing anything. */
  check(definition: Definition, input: Table): void {
    const schema = this.schemaOf(definition, input);
    const problems = validate(schema, fill(schema, input, 'insert', this.#source));
    if (problems) throw errors.schemaViolation(problems);
  }

  /** The entity as answers show it. */
  shown(definition: Definition, entity: Entity): Table {
    return withShorthands(this.schemaOf(definition, entity), entity);
  }

  schemaOf({ kind, schema }: Definition, entity: Table): Schema {
    return kind === 'plugins' ? this.#catalogue.schemaOf(entity) : schema;
  }

  #checked(schema: Schema, filled: Table): Table {
    const data = this.#resolved(schema, filled);
    const problems = validate(schema, data);
    if (problems) throw errors.schemaViolation(problems);
    return data;
  }

  /** Foreign keys may be given by a unique field: `{name: "ar"}` becomes `{id: …}`. */
  #resolved(schema: Schema, data: Table): Table {
    const resolved = { ...data };
    for (const [field, { reference }] of eachField(schema)) {
      const value = data[field];
      const parent = reference === undefined ? undefined : definitionOf(reference);
      if (!isTable(value) || parent === undefined || isUuid(value['id'])) continue;
      const unique = eachField(parent.schema).find(
        ([name, definition]) => definition.unique && typeof value[name] === 'string',
      )?.[0];
      if (unique === undefined) continue;
      const key: Json = value[unique] ?? null;
      const entity = this.#entities.find(parent.kind, unique, key);
      if (!entity) throw errors.unresolvedReference(field, { [unique]: key }, parent.kind);
      resolved[field] = { id: entity.id };
    }
    return resolved;
  }

  #store(definition: Definition, valid: Table, input: Table): Entity {
    const schema = this.schemaOf(definition, valid);
    this.#checkReferences(schema, valid);
    this.#checkUnique(definition, schema, valid);
    const entity = definition.transform?.(valid, input) ?? valid;
    return this.#entities.put(definition.kind, entity);
  }

  #checkReferences(schema: Schema, data: Table): void {
    for (const [field, { reference }] of eachField(schema)) {
      const key: Json = data[field] ?? null;
      if (reference === undefined || key === null) continue;
      const kind = definitionOf(reference)?.kind;
      if (kind === undefined || !this.#entities.get(kind, idOf(key) ?? ''))
        throw errors.invalidReference(field, key, reference);
    }
  }

  #checkUnique({ kind, cacheKey }: Definition, schema: Schema, data: Table): void {
    for (const [field, { unique }] of eachField(schema)) {
      const value = data[field] ?? null;
      if (unique && value !== null && this.#isTaken(kind, { [field]: value }, data['id']))
        throw errors.uniqueViolation({ [field]: value });
    }
    if (cacheKey === undefined) return;
    const key = Object.fromEntries(cacheKey.map((field) => [field, data[field] ?? null]));
    if (this.#isTaken(kind, key, data['id'])) throw errors.uniqueViolation(key);
  }

  #isTaken(kind: Kind, key: Table, id: Json | undefined): boolean {
    return this.#entities
      .list(kind)
      .some(
        (entity) =>
          entity.id !== id &&
          Object.entries(key).every(([field, value]) => isDeepStrictEqual(entity[field], value)),
      );
  }
}
