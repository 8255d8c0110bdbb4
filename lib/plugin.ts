import { SessionGuard } from './instance.ts';
import { NAME, PHASES, pluginInfo, PRIORITY, VERSION } from './schema.ts';
import type { HostedPlugin } from './server/host.ts';
import { closeStorages } from './storages.ts';

/** What session-guard-server hosts. */
export const plugin: HostedPlugin = {
  name: NAME,
  version: VERSION,
  priority: PRIORITY,
  phases: PHASES,
  schema: pluginInfo().Schema,
  create: (config) => new SessionGuard(config),
  close: closeStorages,
};
