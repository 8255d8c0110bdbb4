import { CliError } from '../command.ts';
import { isDeclarative, pluginsIn } from './declarative.ts';
import { isFields, nameOf, objectsIn } from './found.ts';
import type { Fields, Found, Scope } from './found.ts';
import { BUNDLED_FIELDS } from './names.ts';
import { readDocuments } from './text.ts';
import type { Document } from './text.ts';

/**
 * Every configuration of the bundled `session` plugin in a text: a portal_session_conf, a bare configuration, a
 * plugin of the Admin API or a list of them, declarative configuration, KongPlugin resources. Other plugins are
 * passed over.
 *
 * @throws CliError, which tells the place and never repeats the text
 */
export const findConfigurations = (text: string): Found[] => readDocuments(text).flatMap(fromAny);

function fromAny({ name, value }: Document): Found[] {
  if (value === null || value === undefined) return [];
  if (Array.isArray(value)) return fromList(value, '');
  if (!isFields(value)) throw new CliError('the input is neither an object nor a list');
  if (typeof value['kind'] === 'string') return fromResource(value);
  if (Array.isArray(value['data'])) return fromList(value['data'], 'data');
  if (isDeclarative(value)) {
    return pluginsIn(value).flatMap(({ plugin, where, scope }) => fromPlugin(plugin, where, scope));
  }
  if (isFields(value['config'])) return fromPlugin(value, 'plugin');
  const names = Object.keys(value);
  if (names.length > 0 && !names.some((field) => BUNDLED_FIELDS.has(field))) {
    throw new CliError('the input has none of the fields of the session plugin');
  }
  return [{ origin: 'portal', where: name, scope: { kind: 'global' }, config: value, entity: {} }];
}

const fromList = (list: readonly unknown[], path: string): Found[] =>
  objectsIn(list).flatMap(([plugin, index]) => fromPlugin(plugin, `${path}[${index}]`));

/** A plugin as the Admin API and declarative configuration have it; without a name it is taken for a session's. */
function fromPlugin(plugin: Fields, where: string, parent?: Scope): Found[] {
  const { name, config, ...entity } = plugin;
  if (name !== undefined && name !== 'session') return [];
  const scope = parent ?? scopeOf(plugin);
  return [{ origin: 'plugin', where, scope, config: isFields(config) ? config : {}, entity }];
}

function scopeOf(plugin: Fields): Scope {
  for (const kind of ['consumer', 'consumer_group'] as const) {
    if (nameOf(plugin[kind]) !== undefined) return { kind: 'unsupported', name: kind };
  }
  for (const kind of ['route', 'service'] as const) {
    const name = nameOf(plugin[kind]);
    if (name !== undefined) return { kind, name };
  }
  return { kind: 'global' };
}

/** A KongPlugin or KongClusterPlugin of the ingress controller, or a list of such. */
function fromResource(resource: Fields): Found[] {
  const { items, kind, plugin, config, protocols, disabled, metadata } = resource;
  if (Array.isArray(items)) return objectsIn(items).flatMap(([item]) => fromResource(item));
  if (!/^Kong(Cluster)?Plugin$/.test(String(kind)) || plugin !== 'session') return [];
  const entity = { protocols, ...(disabled === true && { enabled: false }) };
  const where = `${String(kind)} ${nameOf(metadata) ?? ''}`.trim();
  const fields = isFields(config) ? config : {};
  return [{ origin: 'plugin', where, scope: { kind: 'global' }, config: fields, entity }];
}
