import { randomUUID } from 'node:crypto';
import { KongLine } from '../test/contract/server-kong-protobuf.ts';
import type { Cleanup } from '../test/e2e/support/cleanup.ts';
import { startPostgres } from '../test/support/postgres.ts';
import { NAME } from '../lib/schema.ts';
import { drive } from './drive.ts';
import type { Drive } from './drive.ts';
import type { World } from './driver.ts';
import { buildFixtures } from './fixtures/index.ts';
import { startServer } from './server-process.ts';
import type { ServerProcess } from './server-process.ts';
import { Mint } from './sessions.ts';
import { newSecret } from './site.ts';

/** A plugin server without a Kong: the driver's side of it, and sessions in a Postgres. */
export interface Alone {
  readonly server: ServerProcess;
  readonly mint: Mint;
  /** Requests for storage `kong`. Resolves with the seconds they took. */
  drive(requests: Omit<Drive, 'socket' | 'world'>): Promise<number>;
}

/** @param nodeOptions besides the probe */
export async function openAlone(
  cleanup: Cleanup,
  nodeOptions: readonly string[] = [],
): Promise<Alone> {
  const { probe } = await buildFixtures();
  const postgres = await startPostgres();
  cleanup.defer(() => postgres.stop());
  const url = await postgres.newDatabase();
  const config = { secret: newSecret(), storage: 'kong', postgres: { url } };
  const owner = { consumerId: randomUUID(), credentialId: randomUUID(), username: 'alice' };
  const mint = await Mint.open(url, { kong: config, cookie: config }, owner);
  cleanup.defer(() => mint.close());
  const server = await startServer(['--import', probe, ...nodeOptions]);
  cleanup.defer(() => server.close());
  const kong = await KongLine.open(server.socket);
  const instance = await kong.start(config, NAME);
  await kong.close();
  const anonymous = { id: randomUUID(), username: 'anonymous' };
  const world: World = { instance, owner, anonymous };
  return {
    server,
    mint,
    drive: (requests) => drive({ socket: server.socket, world, ...requests }),
  };
}
