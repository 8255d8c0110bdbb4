import type { Entity, Json } from '../entities.ts';
import { idOf } from '../entities.ts';
import { inferred } from './body.ts';
import type { Body } from './body.ts';
import type { Dao } from './dao.ts';
import { DEFINITIONS } from './definitions.ts';
import type { Definition } from './definitions.ts';
import { AdminError, notFound } from './errors.ts';
import { eachField } from './schema.ts';
import type { Table } from './schema.ts';
import { isUuid } from './validate.ts';

/** A request to the Admin API; `path` is its decoded segments. */
export interface Call {
  readonly method: string;
  readonly path: readonly string[];
  readonly query: URLSearchParams;
  readonly body: Body;
}

export interface Reply {
  readonly status: number;
  readonly body?: Json;
}

/** The parent in a nested path: the entity, and the field by which its children refer to it. */
interface Parent {
  readonly entity: Entity;
  readonly field: string;
}

/** The collections of entities and what is below them (kong/api/endpoints.lua). */
export class Resources {
  readonly #dao: Dao;

  constructor(dao: Dao) {
    this.#dao = dao;
  }

  answer(call: Call): Reply {
    const [first, key, nested, nestedKey, ...rest] = call.path;
    const definition = DEFINITIONS.find(({ path }) => path === first);
    if (definition === undefined || rest.length > 0) throw notFound();
    if (key === undefined) return this.#collection(call, definition);
    if (nested === undefined) return this.#entity(call, definition, key);
    const child = childOf(definition, nested);
    if (child === undefined) throw notFound();
    const entity = this.#dao.find(definition, key);
    if (entity === undefined) throw notFound();
    const parent = { entity, field: child.field };
    return nestedKey === undefined
      ? this.#collection(call, child.definition, parent)
      : this.#nested(call, child.definition, nestedKey, parent);
  }

  #collection(call: Call, definition: Definition, parent?: Parent): Reply {
    if (call.method === 'GET') return this.#page(call, definition, parent);
    if (call.method !== 'POST') throw new AdminError(405, 'Method not allowed');
    const input = this.#input(call, definition);
    if (parent) input[parent.field] = { id: parent.entity.id };
    return this.#reply(201, definition, this.#dao.insert(definition, input));
  }

  #entity(call: Call, definition: Definition, key: string): Reply {
    const found = this.#dao.find(definition, key);
    switch (call.method) {
      case 'GET':
        if (found === undefined) throw notFound();
        return this.#reply(200, definition, found);
      case 'PUT': {
        const input = this.#input(call, definition);
        return this.#reply(200, definition, this.#dao.upsert(definition, key, input));
      }
      case 'PATCH': {
        if (found === undefined) throw notFound();
        const input = this.#input(call, definition, found);
        return this.#reply(200, definition, this.#dao.update(definition, found, input));
      }
      case 'DELETE':
        if (found) this.#dao.delete(definition, found.id);
        return { status: 204 };
      default:
        throw new AdminError(405, 'Method not allowed');
    }
  }

  /** Below a parent an entity must belong to it, but for PUT, which makes it do so. */
  #nested(call: Call, definition: Definition, key: string, parent: Parent): Reply {
    const found = this.#findBelow(definition, key, parent);
    if (call.method === 'PUT') {
      const input = this.#input(call, definition);
      input[parent.field] = { id: parent.entity.id };
      return this.#reply(200, definition, this.#dao.upsert(definition, key, input));
    }
    if (found === undefined) throw notFound();
    return this.#entity(call, definition, found.id);
  }

  #findBelow(definition: Definition, key: string, parent: Parent): Entity | undefined {
    const { nestedKey } = definition;
    const children = this.#dao.list(definition, { field: parent.field, id: parent.entity.id });
    if (nestedKey !== undefined && !isUuid(key))
      return children.find((entity) => entity[nestedKey] === key);
    const found = this.#dao.find(definition, key);
    return found && idOf(found[parent.field]) === parent.entity.id ? found : undefined;
  }

  #page(call: Call, definition: Definition, parent?: Parent): Reply {
    const { query, path } = call;
    const customId = path[0] === 'consumers' && !parent ? query.get('custom_id') : null;
    const all = this.#dao.list(definition, parent && { field: parent.field, id: parent.entity.id });
    if (customId !== null) {
      const data = all.filter((entity) => entity['custom_id'] === customId);
      return { status: 200, body: { data: this.#shown(definition, data), next: null } };
    }
    const offset = query.get('offset');
    const size = query.get('size');
    const after = offset === null ? all : all.filter(({ id }) => id > idAt(offset));
    const data = after.slice(0, Number(size ?? 100));
    const last = data.at(-1);
    if (last === undefined || data.length === after.length)
      return { status: 200, body: { data: this.#shown(definition, data), next: null } };
    const next = offsetOf(last);
    // Kong forgets the size below a parent.
    const again = size === null || parent ? '' : `&size=${size}`;
    const address = `/${path.map(encodeURIComponent).join('/')}?offset=${encodeURIComponent(next)}${again}`;
    return {
      status: 200,
      body: { data: this.#shown(definition, data), offset: next, next: address },
    };
  }

  /** A form's values get their types from the schema; that of a plugin depends on its name. */
  #input({ body }: Call, definition: Definition, entity?: Entity): Table {
    if (!body.isForm) return { ...body.data };
    return inferred(body.data, this.#dao.schemaOf(definition, { ...entity, ...body.data }));
  }

  #reply(status: number, definition: Definition, entity: Entity): Reply {
    return { status, body: this.#dao.shown(definition, entity) };
  }

  #shown(definition: Definition, entities: readonly Entity[]): Json[] {
    return entities.map((entity) => this.#dao.shown(definition, entity));
  }
}

function childOf(
  parent: Definition,
  path: string,
): { definition: Definition; field: string } | undefined {
  for (const definition of DEFINITIONS) {
    if ((definition.nestedPath ?? definition.path) !== path) continue;
    const reference = eachField(definition.schema).find(
      ([, field]) => field.reference === parent.kind,
    );
    if (reference) return { definition, field: reference[0] };
  }
  return undefined;
}

/** Kong's offsets: the primary key of the last entity of the page, as JSON in base64. */
function offsetOf({ id }: Entity): string {
  return Buffer.from(JSON.stringify([id]))
    .toString('base64')
    .replaceAll('=', '');
}

function idAt(offset: string): string {
  const [id] = JSON.parse(Buffer.from(offset, 'base64').toString()) as [string];
  return id;
}
