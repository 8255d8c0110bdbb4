import { randomBytes } from 'node:crypto';
import type { Admin } from '../test/support/admin.ts';
import type { StorageName } from './plan.ts';
import type { Owner } from './sessions.ts';

/** What all gateways of a run have in common, so that a session of one is good at the others. */
export interface Common {
  readonly secret: string;
  readonly configs: Readonly<Record<StorageName, object>>;
  readonly upstreamUrl: string;
  readonly owner: Owner;
  /** The owner's credential for key-auth. */
  readonly key: string;
  readonly anonymous: { readonly id: string; readonly username: string };
  /** Makes the names of this run differ from those of others. */
  readonly run: string;
}

export const newSecret = (): string => randomBytes(48).toString('base64');

/** The service, and who may come. Nobody is turned away: every scenario is to reach the upstream. */
export async function createPeople(admin: Admin, common: Common): Promise<string> {
  const { owner, anonymous, key } = common;
  const service = await admin.create('/services', { url: common.upstreamUrl });
  await admin.create('/consumers', anonymous);
  await admin.create('/consumers', { id: owner.consumerId, username: owner.username });
  await admin.create(`/consumers/${owner.consumerId}/key-auth`, { id: owner.credentialId, key });
  return service.id;
}

/** A route with key-auth, `anonymous` set, and perhaps another plugin. Resolves with its host. */
export async function createRoute(
  admin: Admin,
  common: Common,
  route: { readonly service: string; readonly label: string; readonly plugin?: object },
): Promise<string> {
  const host = `${route.label}-${common.run}.bench.test`;
  const { id } = await admin.create(`/services/${route.service}/routes`, { hosts: [host] });
  const plugins = `/routes/${id}/plugins`;
  const config = { anonymous: common.anonymous.id };
  await admin.create(plugins, { name: 'key-auth', config });
  if (route.plugin) await admin.create(plugins, route.plugin);
  return host;
}
