import type { AdminSession } from '../admin-store.ts';
import { KeyRing } from '../keys.ts';
import { decodeText } from '../rows.ts';
import type { SessionData } from '../session.ts';
import { DataCodec } from '../token.ts';

/** Who signed in from where, as text; empty where the secrets at hand do not open it. */
export interface Person {
  readonly username?: string;
  readonly custom_id?: string;
  readonly groups?: readonly string[];
  readonly ip?: string;
  readonly user_agent?: string;
}

/** Opens what the table has sealed. Without secrets nothing is tried. */
export function personReader(
  secrets: readonly string[],
): (session: AdminSession) => Promise<Person> {
  const codecs = new Map<string, DataCodec>();
  return async ({ kind, realm: name, key, sealed }) => {
    if (secrets.length === 0) return {};
    // Rows of both kinds are sealed for the realm of the session cookie (config.ts, instance.ts).
    const realm = kind === 'remember' ? name.slice(name.indexOf(' ') + 1) : name;
    let codec = codecs.get(realm);
    if (codec === undefined) {
      // Rows are as old as they are: no day is refused.
      codec = new DataCodec(new KeyRing(secrets, decodeText(realm), 0), Date.now);
      codecs.set(realm, codec);
    }
    const data = await codec.open(key, sealed);
    return data ? personOf(data) : {};
  };
}

export const personOf = (data: SessionData): Person => ({
  ...(data.username !== undefined && { username: toText(data.username) }),
  ...(data.customId !== undefined && { custom_id: toText(data.customId) }),
  ...(data.groups && { groups: data.groups.map(toText) }),
  ...(data.ip !== undefined && { ip: toText(data.ip) }),
  ...(data.userAgent !== undefined && { user_agent: toText(data.userAgent) }),
});

/** A byte string (pdk.ts) as the text it spells. */
export const toText = (bytes: string): string => Buffer.from(bytes, 'latin1').toString();
