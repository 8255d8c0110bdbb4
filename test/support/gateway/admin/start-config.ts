import { idOf } from '../entities.ts';
import type { Entity, Json } from '../entities.ts';
import { Catalogue } from './catalogue.ts';
import type { ExternalPlugin } from './catalogue.ts';
import { eachField, fieldAt, isReference, isTable, textOf } from './schema.ts';
import type { Field, Table } from './schema.ts';

/** The id of the default workspace, which every entity is in. */
const WORKSPACE = '4e3c200e-b08a-471f-9563-ae5b94bd6562';

export interface StartConfigOptions {
  /** The external plugins, as their servers' dumps describe them. */
  readonly plugins: readonly ExternalPlugin[];
  /** Kong's environment, for `{vault://env/NAME}`; a name that is not there resolves to "". */
  readonly env?: { readonly [name: string]: string };
}

/** Makes the configuration that StartInstance gets for a plugin entity; `seq` is Kong's `__seq__`. */
export type StartConfig = (plugin: Entity, seq: number) => Table;

/**
 * The configuration as test/traces has it (01-start-*, 15-vault-start): nulls absent,
 * references resolved with the originals in `$refs` of their record, Kong's bookkeeping keys added.
 */
export function createStartConfig(options: StartConfigOptions): StartConfig {
  const catalogue = new Catalogue(options.plugins);
  const resolve = (reference: string): string => fromEnvironment(reference, options.env ?? {});
  return (plugin, seq) => {
    const schema = catalogue.schemaOf(plugin);
    const config = plugin['config'] ?? null;
    return {
      ...recordFor(fieldAt(schema, 'config') ?? {}, isTable(config) ? config : {}, resolve),
      ...bookkeeping(plugin, seq),
    };
  };
}

function bookkeeping(plugin: Entity, seq: number): Table {
  const scope = ['route', 'service', 'consumer'].map((field) => [field, idOf(plugin[field])]);
  const ids = scope.map(([, id]) => id ?? '');
  const instance = plugin['instance_name'] ?? null;
  return {
    __key__: ['plugins', textOf(plugin['name'] ?? ''), ...ids, '', WORKSPACE].join(':'),
    __seq__: seq,
    __plugin_id: plugin.id,
    __ws_id: WORKSPACE,
    ...Object.fromEntries(scope.flatMap(([field, id]) => (id ? [[`${field}_id`, id]] : []))),
    ...(instance !== null && { plugin_instance_name: instance }),
  };
}

function recordFor(record: Field, data: Table, resolve: (reference: string) => string): Table {
  const fields = new Map(eachField(record));
  const config: Table = {};
  const references: Table = {};
  for (const [name, value] of Object.entries(data)) {
    const field = fields.get(name) ?? {};
    if (value === null) continue;
    if (field.type === 'record' && isTable(value)) {
      config[name] = recordFor(field, value, resolve);
      continue;
    }
    const found = referencesIn(field, value);
    if (found !== null) references[name] = found;
    config[name] = found === null ? value : resolved(value, found, resolve);
  }
  return Object.keys(references).length === 0 ? config : { ...config, $refs: references };
}

/** The references in a value, in the shape of the value with null where there is none; null: none at all. */
function referencesIn(field: Field, value: Json): Json {
  const part = field.elements ?? field.values;
  if (field.referenceable && isReference(value)) return value;
  if (!part?.referenceable) return null;
  if (Array.isArray(value)) {
    const list = value.map((item) => (isReference(item) ? item : null));
    const last = list.findLastIndex((item) => item !== null);
    return last < 0 ? null : list.slice(0, last + 1);
  }
  const entries = Object.entries(isTable(value) ? value : {}).filter(([, item]) =>
    isReference(item),
  );
  return entries.length === 0 ? null : Object.fromEntries(entries);
}

function resolved(value: Json, references: Json, resolve: (reference: string) => string): Json {
  if (typeof references === 'string') return resolve(references);
  if (Array.isArray(value)) return value.map((item) => (isReference(item) ? resolve(item) : item));
  return Object.fromEntries(
    Object.entries(isTable(value) ? value : {}).map(([key, item]) => [
      key,
      isReference(item) ? resolve(item) : item,
    ]),
  );
}

function fromEnvironment(reference: string, env: { readonly [name: string]: string }): string {
  const name = /^\{vault:\/\/env\/([^/?]+)\}$/.exec(reference)?.[1] ?? '';
  return env[name.toUpperCase().replaceAll('-', '_')] ?? '';
}
