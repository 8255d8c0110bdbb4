#!/usr/bin/env node
import { run } from './command.ts';

void run(process.argv.slice(2), {
  info: async () => (await import('../schema.ts')).pluginInfo(),
  plugin: async () => (await import('../plugin.ts')).plugin,
});
