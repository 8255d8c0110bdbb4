import assert from 'node:assert/strict';
import { Admin } from './admin.ts';
import { Browser, echoOf } from './client.ts';
import type { Listeners } from './client.ts';

const SECRET = 'Xk3v9Qp7Lr2Tz8Ws5Yb1Nc6Md4Fg0HjKEaRiUo';

/** A host for each storage. */
export const SITES = { kong: 'kong.test', cookie: 'cookie.test' } as const;
/** Whoever signs in with it is the consumer Zoë. */
export const KEY = 'k-zoe';

/** The documented set-up through the Admin API, with key-auth, for both storages. */
export async function createSites(
  adminUrl: string,
  { upstreamUrl, databaseUrl }: { upstreamUrl: string; databaseUrl: string },
): Promise<void> {
  const admin = new Admin(adminUrl);
  const service = await admin.create('/services', { url: upstreamUrl });
  const anonymous = await admin.create('/consumers', { username: 'anonymous' });
  await admin.create(`/consumers/${anonymous.id}/plugins`, {
    name: 'request-termination',
    config: { status_code: 403 },
  });
  await admin.create('/consumers', { username: 'Zoë', custom_id: 'c-zoe' });
  await admin.create(`/consumers/${encodeURIComponent('Zoë')}/key-auth`, { key: KEY });
  for (const [storage, host] of Object.entries(SITES)) {
    const route = await admin.create(`/services/${service.id}/routes`, { hosts: [host] });
    const plugins = `/routes/${route.id}/plugins`;
    await admin.create(plugins, { name: 'key-auth', config: { anonymous: anonymous.id } });
    await admin.create(plugins, {
      name: 'session-guard',
      config: { secret: SECRET, storage, postgres: { url: databaseUrl } },
    });
  }
}

/** Nobody, a sign-in, a visit with the cookie alone, a sign-out that also ends a stolen copy. */
export async function signInAndOut(gateway: Listeners, host: string): Promise<void> {
  const browser = new Browser(gateway, host);
  assert.equal((await browser.get()).status, 403);
  const signIn = await browser.ask({ headers: { apikey: KEY } });
  assert.equal(signIn.setCookies.length, 1);
  const visit = await browser.get();
  assert.equal(visit.status, 200);
  const name = echoOf(visit).headers['x-consumer-username'] as string;
  assert.equal(Buffer.from(name, 'latin1').toString(), 'Zoë');
  const thief = browser.copy();
  const bye = await browser.ask({ method: 'DELETE', path: '/?session_logout=1' });
  assert.equal(bye.status, 200);
  assert.equal((await thief.get()).status, 403);
}
