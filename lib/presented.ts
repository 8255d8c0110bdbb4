import { createHash } from 'node:crypto';
import type { Channel } from './channel.ts';
import type { Session } from './session.ts';
import type { Presented } from './storage.ts';
import type { Entry } from './token.ts';

/** What the store has of an id: its SHA-256, as 43 characters of base64url. */
export const keyOf = (id: string): string => createHash('sha256').update(id).digest('base64url');

const presented = new WeakMap<Entry, Presented>();

/** Worked out once for every token that this node remembers. */
export function presentedBy(entry: Entry, channel: Channel): Presented {
  const known = presented.get(entry) ?? present(entry, channel);
  presented.set(entry, known);
  return known;
}

function present(entry: Entry, { kind, realm }: Channel): Presented {
  const key = keyOf(entry.id);
  const { generation, content, audience } = entry;
  if (!content) return { key, generation };
  const session: Session = {
    ...content,
    key,
    kind,
    generation,
    audience,
    realm,
    previousRenewedAt: undefined,
    confirmedAt: undefined,
  };
  return { key, generation, session };
}
