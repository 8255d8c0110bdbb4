import type { Channel } from './channel.ts';
import type { Guard } from './presence.ts';
import { presentedBy } from './presented.ts';
import { judge } from './session.ts';
import { MAX_ENTRIES } from './token.ts';
import type { Entry, Token } from './token.ts';

/** The entries of other audiences in tokens, to go into the cookie that takes the place of the browser's. */
export function otherEntries(guard: Guard, channel: Channel, tokens: readonly Token[]): Entry[] {
  const others = new Map<string, Entry>();
  for (const presented of tokens.flatMap(({ entries }) => entries)) {
    if (presented.audience === guard.config.audience) continue;
    const entry = newest(guard, channel, presented);
    if (entry && supersedes(entry, others.get(entry.audience))) others.set(entry.audience, entry);
  }
  // With more audiences than a cookie holds the last of them have to sign in again.
  return [...others.values()].slice(0, MAX_ENTRIES - 1);
}

/** Of several sessions of one audience the first counts, of several copies of one session the newest. */
const supersedes = (entry: Entry, known: Entry | undefined): boolean =>
  known === undefined || (entry.id === known.id && entry.generation > known.generation);

/**
 * An entry with the newest generation this node knows, where its own audience would go on with the presented one:
 * whoever has an older copy gets no newer one by a detour. `undefined` = its session has ended.
 */
function newest({ storage }: Guard, channel: Channel, entry: Entry): Entry | undefined {
  const known = storage.peek(presentedBy(entry, channel));
  if (known === null) return undefined;
  if (known === undefined) return entry;
  // When its audience counts a session as idle, or as too old, is not known here.
  const timeouts = { ...channel.timeouts, idling: 0, absolute: 0 };
  const verdict = judge(known, entry.generation, timeouts, storage.now());
  return verdict === 'predecessor' ? { ...entry, generation: known.generation } : entry;
}

/** Whether the store has nothing of what a token holds for other audiences. */
export async function isGoneElsewhere(
  { config, storage }: Guard,
  channel: Channel,
  { entries }: Token,
): Promise<boolean> {
  for (const entry of entries) {
    if (entry.audience === config.audience) continue;
    const presented = presentedBy(entry, channel);
    const known = storage.peek(presented);
    if (known) return false;
    if (known === undefined && (await storage.load(presented)) !== null) return false;
  }
  return true;
}
