import { isRealKong } from './environment.ts';
import type { Scene } from './scene.ts';

/** Why a test cannot run: a plugin that this Kong, or the stand-in for one, does not have. */
export async function missingPlugin(scene: Scene, name: string): Promise<string | undefined> {
  const { adminUrl } = scene.kong.nodes[0];
  const { status } = await fetch(`${adminUrl}/schemas/plugins/${name}`);
  if (status === 200) return undefined;
  const who = isRealKong ? 'this Kong' : 'the stand-in for Kong';
  return `${who} has no plugin ${name}: needs KONG_ADMIN_URL of one that has`;
}
