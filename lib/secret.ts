import { SECRET } from './patterns.ts';

/** Published examples and words for a secret, once or repeated until they are long enough. */
const EXAMPLES = /^(change-this-secret|super-secret|your-secret|secret|password|example)+$/i;

const MIN_LENGTH = 32;
/**
 * Refuses only what is no secret at all: 32 characters of eight different ones may still be 96 random bits. Kong's
 * schema cannot say it, so that it shows at the first request.
 */
const MIN_DISTINCT = 8;
const ADVICE = 'make one with `openssl rand -base64 32`';

/** Why a secret must not be used; `undefined` if nothing speaks against it. Never repeats it. */
export function secretProblem(secret: string): string | undefined {
  if (!SECRET.js.test(secret)) return SECRET.err;
  if (EXAMPLES.test(secret)) return `is a published example; ${ADVICE}`;
  if (Buffer.byteLength(secret) < MIN_LENGTH)
    return `must have at least ${MIN_LENGTH} characters; ${ADVICE}`;
  if (new Set(secret).size < MIN_DISTINCT) return `is too simple; ${ADVICE}`;
  return undefined;
}
