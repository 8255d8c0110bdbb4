import type { AdminStore, Selector } from './admin-store.ts';
import { AuditTable } from './audit-table.ts';
import type { AuditEntry } from './audit-table.ts';
import type { Backend } from './backend.ts';
import { decodeText } from './rows.ts';

/** Milliseconds that the audit keeps revocations, whatever `audit_retention` says of requests: they are few, and evidence. */
const KEPT = 365 * 86_400_000;
const PRUNE_BATCH = 1000;

/** An operator ends sessions: on every node when this resolves, and with a line in the audit that says why. */
export async function revoke(
  selector: Selector,
  backend: Backend,
  store: AdminStore,
  reason: string,
): Promise<void> {
  await end(selector, backend, store);
  const entry: AuditEntry = {
    at: backend.database.now(),
    event: 'session_revoked',
    actor: 'operator',
    ...targetOf(selector),
    reason: `${selector.kind}: ${reason}`,
  };
  const audit = new AuditTable(backend.database);
  await audit.insert([entry]);
  // The sessions have ended: a failure here must not say otherwise, and the next revocation deletes what is left.
  await audit.pruneRevocations(KEPT, PRUNE_BATCH).catch(() => 0);
}

function targetOf(selector: Selector): Partial<AuditEntry> {
  switch (selector.kind) {
    case 'handle':
    case 'others':
      return { handle: selector.handle };
    case 'family':
      return { family: selector.family };
    case 'consumer':
    case 'credential':
      return { consumerId: decodeText(selector.consumerId) };
    case 'before':
    case 'all':
      return {};
  }
}

/** Ends what a selector means. Through the Backend, so that the other nodes are told. */
async function end(selector: Selector, backend: Backend, store: AdminStore): Promise<void> {
  switch (selector.kind) {
    case 'handle':
    case 'others':
      for (const family of await store.families(selector)) await backend.end(family);
      return;
    case 'family':
      await backend.endCookies(selector.family, Infinity);
      return backend.end(selector.family);
    case 'consumer':
      return backend.endConsumer(decodeText(selector.consumerId));
    case 'credential':
      return backend.endCredential(
        decodeText(selector.consumerId),
        decodeText(selector.credentialId),
      );
    case 'before':
      return backend.endAll(selector.moment);
    case 'all':
      return backend.endAll();
  }
}
