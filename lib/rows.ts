import type { Session } from './session.ts';
import type { Lifetime, NewSession, Whose } from './storage.ts';

/** A session as the table has it: its data sealed. */
export interface StoredSession {
  readonly session: Omit<Session, 'data'>;
  readonly sealed: Uint8Array;
  /** Milliseconds; Infinity where nothing limits the session. */
  readonly expiresAt: number;
}

/** A row to be. */
export interface NewRow {
  readonly session: Omit<NewSession, 'data'>;
  readonly sealed: Uint8Array;
  readonly lifetime: Lifetime;
}

/** Whose sessions, and in which realms: those of persistent cookies have another than those beside them. */
export interface Owner extends Pick<Whose, 'consumerId' | 'audience'> {
  readonly realms: readonly string[];
}

/** The columns as Store selects them. Moments in milliseconds since the epoch. */
export interface SessionRow {
  key: Buffer;
  handle: string;
  family: string;
  kind: number;
  generation: number;
  consumer_id: string;
  credential_id: string | null;
  audience: string;
  realm: string;
  subject: string | null;
  data: Buffer;
  authenticated_at: number;
  started_at: number;
  renewed_at: number;
  previous_renewed_at: number | null;
  confirmed_at: number | null;
  seen_at: number;
  expires_at: number;
  now: number;
}

const KINDS = ['session', 'remember'] as const;

const kindNumber = (kind: Session['kind']): number => KINDS.indexOf(kind);

export function sessionOf(row: SessionRow): StoredSession {
  const session = {
    key: row.key.toString('base64url'),
    handle: row.handle,
    family: row.family,
    kind: KINDS[row.kind] ?? 'session',
    generation: row.generation,
    consumerId: decodeText(row.consumer_id),
    credentialId: row.credential_id === null ? undefined : decodeText(row.credential_id),
    audience: decodeText(row.audience),
    realm: decodeText(row.realm),
    subject: row.subject === null ? undefined : decodeText(row.subject),
    authenticatedAt: row.authenticated_at,
    startedAt: row.started_at,
    renewedAt: row.renewed_at,
    previousRenewedAt: row.previous_renewed_at ?? undefined,
    confirmedAt: row.confirmed_at ?? undefined,
    seenAt: row.seen_at,
  };
  return { session, sealed: row.data, expiresAt: row.expires_at };
}

/**
 * A byte string (pdk.ts) as the text it spells in UTF-8, which is what people and other programs read in the table.
 * What is no text, or could be taken for the next form, becomes `\x` and hexadecimal digits.
 */
export function encodeText(bytes: string): string {
  const buffer = Buffer.from(bytes, 'latin1');
  const text = buffer.toString('utf8');
  const isText =
    !bytes.includes('\0') && !bytes.startsWith('\\x') && buffer.equals(Buffer.from(text));
  return isText ? text : `\\x${buffer.toString('hex')}`;
}

export const decodeText = (text: string): string =>
  (text.startsWith('\\x') ? Buffer.from(text.slice(2), 'hex') : Buffer.from(text)).toString(
    'latin1',
  );

export const bytesOf = (key: string) => Buffer.from(key, 'base64url');

export const encodeOptional = (bytes: string | undefined): string | null =>
  bytes === undefined ? null : encodeText(bytes);

/** An array for each of the columns that a new row gets from us. */
export function columnsOf(rows: readonly NewRow[]): unknown[][] {
  return [
    rows.map(({ session }) => bytesOf(session.key)),
    rows.map(({ session }) => session.handle),
    rows.map(({ session }) => session.family),
    rows.map(({ session }) => kindNumber(session.kind)),
    rows.map(({ session }) => encodeText(session.consumerId)),
    rows.map(({ session }) => encodeOptional(session.credentialId)),
    rows.map(({ session }) => encodeText(session.audience)),
    rows.map(({ session }) => encodeText(session.realm)),
    rows.map(({ session }) => encodeOptional(session.subject)),
    rows.map(({ sealed }) => sealed),
    rows.map(({ lifetime }) => lifetime.rolling),
    rows.map(({ lifetime }) => lifetime.absolute),
  ];
}

export const ownerValues = ({ consumerId, audience, realms }: Owner): unknown[] => [
  encodeText(consumerId),
  encodeText(audience),
  realms.map(encodeText),
];
