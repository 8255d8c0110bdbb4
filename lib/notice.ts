import { decodeText, encodeText } from './rows.ts';

/** What is over: a whole family, or what was authenticated at `before` or earlier. */
export interface Revocation {
  readonly kind: 'family' | 'consumer' | 'credential' | 'all';
  /** The family's UUID, an id as in Session, '' for all; of a consumer also a Revocable's `user`. */
  readonly target: string;
  /** Milliseconds since the epoch; Infinity for a family. */
  readonly before: number;
}

/** What nodes tell each other: a revocation, `reload` whatever is cached, `schema`: the tables have changed. */
export type Notice = Revocation | 'reload' | 'schema';

/** The payload of a NOTIFY, `kind before target`. The statement `cut` in statements.ts writes the same form. */
export const encodeNotice = ({ kind, before, target }: Revocation): string =>
  `${kind} ${before} ${encodeText(target)}`;

/** What a newer version may say besides is taken for `reload`, which is never wrong. */
export function decodeNotice(payload: string): Notice {
  if (payload === 'schema') return 'schema';
  const [, kind, moment, target] = /^(\w+) (\d+|Infinity) (.*)$/s.exec(payload) ?? [];
  if (target === undefined || !isKind(kind)) return 'reload';
  return { kind, before: Number(moment), target: decodeText(target) };
}

const isKind = (kind: string | undefined): kind is Revocation['kind'] =>
  kind === 'family' || kind === 'consumer' || kind === 'credential' || kind === 'all';

/** The parts of a session that decide whether a revocation means it. */
export interface Revocable {
  readonly family: string;
  readonly consumerId: string;
  readonly credentialId: string | undefined;
  readonly authenticatedAt: number;
  /** Of a session in a cookie: the consumer within one audience and realm (cutoffs.ts). */
  readonly user?: string;
}

export function isRevokedBy(session: Revocable, { kind, target, before }: Revocation): boolean {
  if (session.authenticatedAt > before) return false;
  if (kind === 'family') return session.family === target;
  if (kind === 'consumer') return session.consumerId === target || session.user === target;
  if (kind === 'credential') return session.credentialId === target;
  return true;
}
