import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

import type { ExternalPlugin } from './admin/index.ts';
import type { Json } from './entities.ts';

/** What Kong takes from a plugin server's dump. */
export interface PluginInfo {
  readonly name: string;
  readonly version: string;
  readonly priority: number;
  readonly protocol: 'MsgPack:1' | 'ProtoBuf:1';
  /** The schema as the dump gives it: `{ name, fields: [{ config: { type: 'record', fields } }] }`. */
  readonly schema: ExternalPlugin['schema'];
}

/** Kong would wait for ever; a plugin that keeps its dump from ending is a defect to be told. */
const TIME_LIMIT_MS = 20_000;

/**
 * Runs the query command as Kong's master does, through the shell with the full environment, and takes the first
 * plugin of its standard output (kong/runloop/plugin_servers/process.lua). Rejects where Kong would not start.
 */
export async function queryPlugin(queryCmd: string): Promise<PluginInfo> {
  const { stdout } = await promisify(execFile)('/bin/sh', ['-c', queryCmd], {
    timeout: TIME_LIMIT_MS,
    maxBuffer: 16 * 1024 * 1024,
  });
  return parseDump(stdout);
}

export function parseDump(text: string): PluginInfo {
  const dump = parseJson(text);
  const isList = Array.isArray(dump);
  const plugins = isList ? dump : member(dump, 'Plugins');
  const protocol = isList ? 'MsgPack:1' : (member(dump, 'Protocol') ?? 'MsgPack:1');
  if (protocol !== 'MsgPack:1' && protocol !== 'ProtoBuf:1') {
    throw new Error(`the dump names an unknown Protocol: ${JSON.stringify(protocol)}`);
  }
  const first = Array.isArray(plugins) ? plugins[0] : undefined;
  if (first === undefined) throw new Error('the dump has no plugins');
  const name = member(first, 'Name');
  if (typeof name !== 'string' || name === '')
    throw new Error('the dump has a plugin without Name');
  return { name, protocol, ...checkedInfo(name, first) };
}

function checkedInfo(
  name: string,
  info: Json,
): { version: string; priority: number; schema: PluginInfo['schema'] } {
  const [version, priority] = [member(info, 'Version'), member(info, 'Priority')];
  if (typeof version !== 'string' || !/^\d+\.\d+\.\d+$/.test(version)) {
    throw new Error(`plugin ${name}: Version must be three numbers`);
  }
  if (typeof priority !== 'number' || !Number.isInteger(priority)) {
    throw new Error(`plugin ${name}: Priority must be an integer`);
  }
  if (JSON.stringify(member(info, 'Phases')) !== '["access"]') {
    throw new Error(`plugin ${name}: this stand-in runs the phase access only`);
  }
  const schema = member(info, 'Schema');
  if (!Array.isArray(member(schema, 'fields'))) throw new Error(`plugin ${name}: no Schema.fields`);
  // The Admin API's half loads it as Kong does and throws where Kong would not start.
  return { version, priority, schema: schema as unknown as PluginInfo['schema'] };
}

function parseJson(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch (cause) {
    throw new Error('the dump is not pure JSON', { cause });
  }
}

function member(value: Json | undefined, key: string): Json | undefined {
  if (value === undefined || value === null || typeof value !== 'object' || Array.isArray(value)) {
    return undefined;
  }
  return value[key];
}
