import type { Revocation } from './notice.ts';
import type { Session } from './session.ts';
import { UUID } from './uuid.ts';

/** What the text need not hold, because whoever keeps it has it already. */
interface Label {
  readonly key: string;
  readonly family: string;
}

/** How a cache keeps what is not in use at the moment: as text, which takes a fraction of the object's memory. */
export interface Packing<V> {
  pack(value: V): string;
  unpack(text: string, label: Label): V;
  /** Whether the revocation of more than a family could mean what is packed; false is certain. */
  mayMean(revocation: Revocation, text: string): boolean;
}

type Scope = Pick<Session, 'kind' | 'audience' | 'realm'>;

/** There are as many as there are configurations. */
const scopes: Scope[] = [];
const numbers = new Map<string, number>();

function numberOf({ kind, audience, realm }: Scope): number {
  const name = JSON.stringify([kind, audience, realm]);
  const number = numbers.get(name) ?? scopes.push({ kind, audience, realm }) - 1;
  numbers.set(name, number);
  return number;
}

/** An id in 22 characters where it is a UUID as Postgres writes it, else behind an equals sign. */
const shorten = (id: string): string =>
  UUID.test(id) ? Buffer.from(id.replaceAll('-', ''), 'hex').toString('base64url') : `=${id}`;

function lengthen(text: string): string {
  if (text.startsWith('=')) return text.slice(1);
  const hex = Buffer.from(text, 'base64url').toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

type Packed = [
  scope: number,
  generation: number,
  handle: string,
  consumerId: string,
  credentialId: string | null,
  subject: string | null,
  data: Session['data'],
  authenticatedAt: number,
  /** Milliseconds from there. */
  startedAt: number,
  renewedAt: number,
  previousRenewedAt: number | null,
  confirmedAt: number | null,
  seenAt: number,
];

/** Never written anywhere, so the form may change with any version. */
export const sessionPacking: Packing<Session> = {
  pack: (session) => {
    const { authenticatedAt: start, previousRenewedAt, confirmedAt, credentialId } = session;
    const packed: Packed = [
      numberOf(session),
      session.generation,
      shorten(session.handle),
      shorten(session.consumerId),
      credentialId === undefined ? null : shorten(credentialId),
      session.subject ?? null,
      session.data,
      start,
      session.startedAt - start,
      session.renewedAt - start,
      previousRenewedAt === undefined ? null : previousRenewedAt - start,
      confirmedAt === undefined ? null : confirmedAt - start,
      session.seenAt - start,
    ];
    return JSON.stringify(packed);
  },
  unpack: (text, label) => {
    const [scope, generation, handle, consumerId, credentialId, subject, data, start, ...moments] =
      JSON.parse(text) as Packed;
    const known = scopes[scope];
    if (known === undefined) throw new TypeError('a packed session of no scope');
    const [startedAt, renewedAt, previousRenewedAt, confirmedAt, seenAt] = moments;
    return {
      ...known,
      ...label,
      generation,
      handle: lengthen(handle),
      consumerId: lengthen(consumerId),
      credentialId: credentialId === null ? undefined : lengthen(credentialId),
      subject: subject ?? undefined,
      data,
      authenticatedAt: start,
      startedAt: start + startedAt,
      renewedAt: start + renewedAt,
      previousRenewedAt: previousRenewedAt === null ? undefined : start + previousRenewedAt,
      confirmedAt: confirmedAt === null ? undefined : start + confirmedAt,
      seenAt: start + seenAt,
    };
  },
  mayMean: ({ kind, target }, text) =>
    kind === 'all' || text.includes(JSON.stringify(shorten(target))),
};
