import { readFileSync } from 'node:fs';
import type { Protocol } from './dump.ts';

/** Where every package and image of Kong has it (kong/meta.lua in Kong's repository). Enterprise's may be bytecode. */
const META = '/usr/local/share/lua/5.1/kong/meta.lua';
/** From 3.8 on Kong answers 500 where ProtoBuf fails, and starts instances anew; before, it does neither (rpc/pb_rpc.lua). */
const FIRST_WITH_PROTOBUF = [3, 8] as const;

/**
 * What the Kong on this machine is to speak with us.
 * @param env of Kong's images, which names the version in KONG_VERSION; Kong runs the query command with all of its own
 * @throws Error that tells what to put into kong.conf, where nothing tells the version
 */
export function protocolOfKong(
  env: Readonly<Record<string, string | undefined>>,
  meta = META,
): Protocol {
  const [, major, minor] =
    /\bmajor = (\d+),\s+minor = (\d+),/.exec(contentOf(meta)) ??
    /^(\d+)\.(\d+)/.exec(env['KONG_VERSION'] ?? '') ??
    [];
  if (major === undefined || minor === undefined) {
    throw new Error(
      `nothing tells Kong's version (${META}, KONG_VERSION): set pluginserver_…_query_cmd in kong.conf, ` +
        'with --protocol msgpack for Kong before 3.8, --protocol protobuf for the others',
    );
  }
  const [knownMajor, knownMinor] = FIRST_WITH_PROTOBUF;
  const difference = Number(major) - knownMajor || Number(minor) - knownMinor;
  return difference < 0 ? 'msgpack' : 'protobuf';
}

function contentOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
