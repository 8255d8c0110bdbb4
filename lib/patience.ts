import { setTimeout as delay } from 'node:timers/promises';

/** Whether the work is done within so many milliseconds, which is all that is waited for. Rejects as the work does. */
export async function isDoneWithin(milliseconds: number, work: Promise<unknown>): Promise<boolean> {
  const abort = new AbortController();
  const timeout = delay(milliseconds, false, { signal: abort.signal }).catch(() => false);
  try {
    return await Promise.race([work.then(() => true), timeout]);
  } finally {
    abort.abort();
  }
}
