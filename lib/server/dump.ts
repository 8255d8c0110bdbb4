/**
 * What Kong asks for with the query command, and reads until the end of the process
 * (kong/runloop/plugin_servers/process.lua).
 */
export interface PluginInfo {
  readonly Name: string;
  /** Three numbers, or Kong does not start. */
  readonly Version: string;
  readonly Priority: number;
  readonly Phases: readonly string[];
  readonly Schema: object;
}

export const PROTOCOLS = { protobuf: 'ProtoBuf:1', msgpack: 'MsgPack:1' } as const;
export type Protocol = keyof typeof PROTOCOLS;

/** One JSON value. Kong since 3.9 looks at the first plugin only. */
export const formatDump = (info: PluginInfo, protocol: Protocol): string =>
  JSON.stringify({ Protocol: PROTOCOLS[protocol], Plugins: [info] });
