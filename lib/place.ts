import type { Place } from './events.ts';

/** Kong puts it beside the fields of a configuration (Kong's plugin_servers/plugin.lua). */
export function placeOf(raw: object): Place {
  const known = raw as Readonly<Record<string, unknown>>;
  const { route_id: route, plugin_instance_name: name, __plugin_id: id } = known;
  const instance = name ?? id;
  return {
    ...(typeof route === 'string' && { route }),
    ...(typeof instance === 'string' && { instance }),
  };
}
