import { isFields, nameOf, objectsIn } from './found.ts';
import type { Fields, Scope } from './found.ts';

/** A plugin of any kind in a declarative configuration. */
export interface Placed {
  readonly plugin: Fields;
  readonly where: string;
  /** Absent at the top level, where the plugin itself says it. */
  readonly scope: Scope | undefined;
}

const SCOPES = {
  services: 'service',
  routes: 'route',
  consumers: 'unsupported',
  consumer_groups: 'unsupported',
} as const;

export const isDeclarative = (root: Fields): boolean =>
  ['_format_version', 'plugins', ...Object.keys(SCOPES)].some((key) => Object.hasOwn(root, key));

/** The plugins of a declarative configuration (Kong's own format and decK's), wherever they are nested. */
export function pluginsIn(root: Fields): Placed[] {
  const shared = isFields(root['_plugin_configs']) ? root['_plugin_configs'] : {};
  return placedIn(root, '', undefined).map(({ plugin, ...place }) => ({
    ...place,
    plugin: withShared(plugin, shared),
  }));
}

function placedIn(entity: Fields, path: string, scope: Scope | undefined): Placed[] {
  const plugins = objectsIn(entity['plugins']).map(([plugin, index]) => {
    return { plugin, where: `${path}plugins[${index}]`, scope };
  });
  const nested = Object.entries(SCOPES).flatMap(([collection, kind]) =>
    objectsIn(entity[collection]).flatMap(([child, index]) => {
      const where = `${path}${collection}[${index}]`;
      const name = nameOf(child) ?? where;
      const isUnsupported = kind === 'unsupported';
      const inner: Scope = isUnsupported ? { kind, name: where } : { kind, name };
      return placedIn(child, `${where}.`, inner);
    }),
  );
  return [...plugins, ...nested];
}

/** decK: `_config` names a configuration whose fields the plugin's own override. */
function withShared({ _config: name, ...plugin }: Fields, shared: Fields): Fields {
  const base = typeof name === 'string' && Object.hasOwn(shared, name) ? shared[name] : undefined;
  if (!isFields(base)) return plugin;
  return { ...plugin, config: { ...base, ...(isFields(plugin['config']) && plugin['config']) } };
}
