import assert from 'node:assert/strict';
import { echoOf, isDeletion, parseSetCookie, type Reply } from '../../support/client.ts';
import type { Person } from './scene.ts';

/** Whoever the upstream takes the request for; undefined where it did not get it. */
export function nameIn(reply: Reply): string | undefined {
  if (reply.status !== 200) return undefined;
  const name = echoOf(reply).headers['x-consumer-username'];
  return typeof name === 'string' ? name : undefined;
}

export function assertOk(reply: Reply, person: Person, message?: string): void {
  assert.equal(reply.status, 200, message ?? reply.body);
  assert.equal(nameIn(reply), person.username, message);
}

/** DENY: the anonymous consumer's request-termination answered. */
export function assertDenied(reply: Reply, message?: string): void {
  assert.equal(reply.status, 403, message ?? reply.body);
  assert.match(reply.body, /So it goes\./, message);
}

/** NOSET. */
export const assertNoSet = (reply: Reply): void => assert.deepEqual(reply.setCookies, []);

export const isDenied = ({ status, body }: Reply): boolean =>
  status === 403 && body.includes('So it goes.');

/** DEL: every cookie of `lines`, which is how it was set, is deleted, with the attributes it was set with. */
export function assertDeleted(reply: Reply, lines: readonly string[]): void {
  assert.deepEqual(
    reply.setCookies.map(isDeletion),
    lines.map(() => true),
  );
  const deleted = reply.setCookies.map((line) => withoutEnd(line));
  assert.deepEqual(
    deleted,
    lines.map((line) => withoutEnd(line)),
  );
}

function withoutEnd(line: string): object {
  const { name, attributes } = parseSetCookie(line);
  const kept = [...attributes].filter(([attribute]) => !['max-age', 'expires'].includes(attribute));
  return { name, attributes: Object.fromEntries(kept) };
}
