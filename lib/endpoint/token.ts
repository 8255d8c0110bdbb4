import { createHash, timingSafeEqual } from 'node:crypto';

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

/** Compares in a time that tells nothing of where they differ, nor of their lengths. */
export const isSame = (one: string, other: string): boolean =>
  timingSafeEqual(digest(one), digest(other));

/** Whether an Authorization header carries the token (RFC 6750 2.1). */
export function carries(header: string | undefined, token: string): boolean {
  const [, given] = /^Bearer +([\x21-\x7e]+) *$/i.exec(header ?? '') ?? [];
  return given !== undefined && isSame(given, token);
}
