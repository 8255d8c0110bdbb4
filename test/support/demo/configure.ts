import { Admin } from '../admin.ts';
import { createRoutes, type Site } from '../portal/routes.ts';

/** Everything the demo asks of Kong's Admin API. */
export interface Setup extends Pick<Site, 'addresses' | 'upstreams'> {
  readonly adminUrl: string;
  readonly secret: string;
  readonly databaseUrl: string;
  readonly account: Account;
}

/** The demo's one user: signs in with the password or with the key. */
export interface Account {
  readonly username: string;
  readonly password: string;
  readonly key: string;
}

/** The portal and its API are siblings, which share the cookie's domain. */
const DOMAIN = 'demo.localhost';

/** By the port of Kong's TLS listener as browsers see it. */
export const addressesAt = (sslPort: number): Site['addresses'] => ({
  gui: `https://portal.${DOMAIN}:${sslPort}`,
  api: `https://api.${DOMAIN}:${sslPort}`,
});

/** Sets up a fresh Kong: the account, the consumer that nobody is, and the portal. */
export async function configure(setup: Setup): Promise<void> {
  const { adminUrl, account, secret, databaseUrl, addresses, upstreams } = setup;
  const admin = new Admin(adminUrl);
  const { username, password, key } = account;
  await admin.create('/consumers', { username });
  await admin.create(`/consumers/${username}/basic-auth`, { username, password });
  await admin.create(`/consumers/${username}/key-auth`, { key });

  const anonymous = await admin.create('/consumers', { username: 'anonymous' });
  await admin.create('/consumers/anonymous/plugins', {
    name: 'request-termination',
    config: { status_code: 403, message: 'Sign in first.' },
  });
  await createRoutes(admin, {
    addresses,
    upstreams,
    names: { gui: 'gui', api: 'api' },
    anonymous: anonymous.id,
    session: {
      secret,
      postgres: { url: databaseUrl },
      cookie_domain: `.${DOMAIN}`,
      cookie_same_site: 'Lax',
    },
  });
}
