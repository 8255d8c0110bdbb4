/** What is different about a field although it keeps its name, or why it looks different but is not. */
export interface Note {
  readonly text: string;
  readonly isChange: boolean;
}

const same = (text: string): Note => ({ text, isChange: false });
const change = (text: string): Note => ({ text, isChange: true });

const BY_FIELD: Readonly<Record<string, Note>> = {
  secret: change('a vault reference stands for it'),
  idling_timeout: same('of the session, not of each copy of its cookie'),
  cookie_idletime: same('of the session, not of each copy of its cookie'),
  stale_ttl: change('counts from the first use of the new cookie, and nothing prolongs it'),
  cookie_discard: change('counts from the first use of the new cookie, and nothing prolongs it'),
  cookie_renew: change(
    'honoured, up to half of rolling_timeout; the bundled plugin ignores it since Kong 3.2',
  ),
  cookie_persistent: change('a second, persistent cookie, as in Kong since 3.2'),
  store_metadata: change("the subject stands in the session's own row"),
  read_body_for_logout: change('in bodies of up to 8 kB'),
  audience: same('several share one cookie with either storage'),
};

/** @param value as session-guard gets it */
export function noteOn(field: string, value: unknown): Note | undefined {
  if (field === 'storage' && (value === 'kong' || value === 'postgres')) {
    return change("rows in session-guard's own Postgres tables, not in Kong's database");
  }
  if (field.endsWith('_headers') && Array.isArray(value) && value.includes('id')) {
    return change('Session-Id is a handle that authenticates nobody');
  }
  if (field.startsWith('cookie_same') && value === 'Default') {
    return same('the attribute is left out, which browsers treat alike');
  }
  return BY_FIELD[field];
}
