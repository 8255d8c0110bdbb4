import { secretProblem } from '../../secret.ts';
import type { Finding } from './findings.ts';

/** Kong resolves them where the plugin runs: SESSION_SECRET and SESSION_DATABASE_URL of its environment. */
export const SECRET_REFERENCE = '{vault://env/session-secret}';
export const DATABASE_REFERENCE = '{vault://env/session-database-url}';

/** Kong's vaults, and the placeholder of decK. */
const VAULT_REFERENCE = /^\{vault:\/\/[\w./?=&%-]+\}$/;
const DECK_REFERENCE = /^\$\{\{.*\}\}$/;

const MAKE_ONE = 'make one with `openssl rand -base64 32`';

const warning = (code: string, message: string): Finding => ({
  level: 'warning',
  code,
  field: 'secret',
  message,
});

/** The reference to print in a secret's place, and what is to be said about the secret. It is never repeated. */
export function judgeSecret(secret: unknown): { reference: string; findings: Finding[] } {
  const reference = SECRET_REFERENCE;
  if (secret === undefined || secret === null) {
    const missing = `is not set: Kong makes a random one, another on each node; ${MAKE_ONE} and give it to all nodes`;
    return { reference, findings: [warning('secret_missing', missing)] };
  }
  if (typeof secret === 'string' && VAULT_REFERENCE.test(secret)) {
    return { reference: secret, findings: [] };
  }
  if (typeof secret === 'string' && DECK_REFERENCE.test(secret)) {
    const deck = "is a reference of decK's; the vault reference works however Kong is configured";
    return { reference, findings: [{ ...warning('secret_reference', deck), level: 'note' }] };
  }
  const problem = typeof secret === 'string' ? secretProblem(secret) : `is no text; ${MAKE_ONE}`;
  if (problem !== undefined) {
    return { reference, findings: [warning('secret_weak', `${problem}. It is not passed on`)] };
  }
  const strong = `is not printed; as no cookie of the bundled plugin is read, a new one costs nothing: ${MAKE_ONE}`;
  return { reference, findings: [{ ...warning('secret_hidden', strong), level: 'note' }] };
}
