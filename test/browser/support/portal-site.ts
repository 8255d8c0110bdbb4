import { randomBytes } from 'node:crypto';
import { newSecret, type Scene } from '../../e2e/support/scene.ts';
import { until } from '../../e2e/support/waiting.ts';
import { send } from '../../support/client.ts';
import { startPortal } from '../../support/portal/portal.ts';
import { createRoutes, type Site } from '../../support/portal/routes.ts';
import type { Account } from './portal-page.ts';

export interface PortalSite {
  readonly gui: string;
  readonly api: string;
  readonly account: Account;
  close(): Promise<void>;
}

/** As many fresh connections as show that every worker of a real Kong knows the routes. */
const WITNESSES = 8;

/** A portal of a test's own: its upstreams, its routes in the scene's Kong, and somebody who may sign in. */
export async function openPortalSite(
  scene: Scene,
  addresses: Site['addresses'],
  session: object,
): Promise<PortalSite> {
  const upstreams = await startPortal({ apiAddress: addresses.api });
  const person = await scene.person('carol', { custom_id: scene.name('c') });
  const password = randomBytes(9).toString('base64');
  const { username } = person;
  await scene.admin.create(`/consumers/${person.id}/basic-auth`, { username, password });
  await createRoutes(scene.admin, {
    addresses,
    upstreams,
    names: { gui: scene.name('gui'), api: scene.name('api') },
    anonymous: scene.anonymous,
    session: { secret: newSecret(), postgres: scene.postgres, ...session },
  });
  const isThere = async (address: string, status: number): Promise<boolean> => {
    const { hostname: host, pathname: path, protocol } = new URL(address);
    const scheme = protocol === 'https:' ? 'https' : 'http';
    const ask = { path, scheme, fresh: true } as const;
    const asked = Array.from({ length: WITNESSES }, () => send(scene.kong.nodes[0], host, ask));
    return (await Promise.all(asked)).every((reply) => reply.status === status);
  };
  await until('the GUI is there', () => isThere(addresses.gui, 200));
  await until('the API refuses whoever is nobody', () => isThere(`${addresses.api}/whoami`, 403));
  return {
    ...addresses,
    account: { username, password, key: person.keys[0].key },
    close: () => upstreams.close(),
  };
}
