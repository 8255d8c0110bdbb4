import { randomBytes } from 'node:crypto';

const SIZE = 16;
/** So many at a time: the system call costs more than the bytes. */
const POOLED = 256;

let pool = Buffer.alloc(0);
let used = 0;

/** nginx's `$request_id`: 16 random bytes. */
export function newRequestId(): string {
  if (used === pool.length) {
    pool = randomBytes(SIZE * POOLED);
    used = 0;
  }
  used += SIZE;
  return pool.toString('hex', used - SIZE, used);
}
