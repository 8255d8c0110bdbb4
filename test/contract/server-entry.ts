import { run } from '../../lib/server/command.ts';

// session-guard-server with the tests' plugin in place of its own.
void run(process.argv.slice(2), {
  info: async () => {
    const { createTestPlugin } = await import('./server-plugin.ts');
    const { name, version, priority, phases, schema } = createTestPlugin().plugin;
    return { Name: name, Version: version, Priority: priority, Phases: phases, Schema: schema };
  },
  plugin: async () => (await import('./server-plugin.ts')).createTestPlugin().plugin,
});
