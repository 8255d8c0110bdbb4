import type { Json } from '../entities.ts';
import type { Catalogue } from './catalogue.ts';
import type { Dao } from './dao.ts';
import { definitionOf } from './definitions.ts';
import { AdminError, notFound } from './errors.ts';
import type { Call, Reply } from './resources.ts';
import { fieldAt, textOf } from './schema.ts';
import type { Schema } from './schema.ts';

/** Answers the paths that are no entities: `/`, `/status`, and the schemas of plugins. */
export function informationOn(catalogue: Catalogue, dao: Dao, call: Call): Reply | undefined {
  const [first, second, third] = call.path;
  if (first === undefined) return only('GET', call, () => node(catalogue, dao));
  if (first === 'status' && second === undefined)
    return only('GET', call, () => ({ database: { reachable: true } }));
  if (first === 'plugins' && second === 'schema' && third !== undefined)
    return only('GET', call, () => {
      const config = fieldAt(schemaOf(catalogue, third), 'config');
      return shown({ ...config, fields: config?.fields ?? [] });
    });
  if (first !== 'schemas' || second !== 'plugins' || third === undefined) return undefined;
  if (third === 'validate')
    return only('POST', call, () => {
      const plugins = definitionOf('plugins');
      if (plugins) dao.check(plugins, call.body.data);
      return { message: 'schema validation successful' };
    });
  return only('GET', call, () => shown(schemaOf(catalogue, third)));
}

function only(method: string, call: Call, body: () => Json): Reply {
  if (call.method !== method) throw new AdminError(405, 'Method not allowed');
  return { status: 200, body: body() };
}

function node(catalogue: Catalogue, dao: Dao): Json {
  const plugins = definitionOf('plugins');
  const used = plugins ? dao.list(plugins).map(({ name }) => textOf(name ?? null)) : [];
  return {
    version: '3.9.1',
    tagline: 'Welcome to kong',
    plugins: {
      available_on_server: Object.fromEntries(catalogue.names.map((name) => [name, {}])),
      enabled_in_cluster: [...new Set(used)],
    },
  };
}

function schemaOf(catalogue: Catalogue, name: string): Schema {
  const schema = catalogue.get(name);
  if (schema === undefined) throw notFound(`No plugin named '${name}'`);
  return schema;
}

/** A schema is JSON but for the functions in it, which JSON leaves out. */
function shown({ entity_checks: checks, fields }: Schema): Json {
  return JSON.parse(JSON.stringify({ entity_checks: checks ?? [], fields })) as Json;
}
