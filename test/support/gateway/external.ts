import type { Exchange } from './exchange.ts';
import { type Config, type Plugin, text } from './plugins/plugin.ts';
import type { PluginInfo } from './query.ts';
import type { Conversations } from './recorder.ts';
import type { Rpc } from './rpc/rpc.ts';

/** The plugin that lives in the plugin server, as one worker reaches it. */
export function externalPlugin(info: PluginInfo, rpc: Rpc, conversations: Conversations): Plugin {
  return {
    name: info.name,
    priority: info.priority,
    access(exchange: Exchange, config: Config) {
      const conf = {
        pluginId: text(config['__plugin_id']),
        seq: Number(config['__seq__']),
        config,
      };
      const conversation = conversations.open(exchange.requestId);
      return rpc.handleEvent({ exchange, conf, phase: 'access', conversation });
    },
  };
}
