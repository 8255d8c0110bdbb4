import type { Admin } from '../admin.ts';

/** A portal behind a Kong. */
export interface Site {
  /** Where browsers find the two, such as `https://portal.example.com` and `https://api.example.com`. */
  readonly addresses: { readonly gui: string; readonly api: string };
  /** Where Kong finds them. */
  readonly upstreams: { readonly guiUrl: string; readonly apiUrl: string };
  /** Of the services and routes. */
  readonly names: { readonly gui: string; readonly api: string };
  /** The id of the consumer whom request-termination refuses. */
  readonly anonymous: string;
  /** Fields of session-guard: at least `secret` and `postgres`. */
  readonly session: object;
}

/**
 * Puts the portal behind Kong the way README.md tells an operator to. Nobody gets through to the API anonymously: whom
 * neither a password, a key nor a session names stays the anonymous consumer, and that one is refused by Kong itself.
 */
export async function createRoutes(admin: Admin, site: Site): Promise<void> {
  const { addresses, upstreams, names } = site;
  await admin.create('/services', { name: names.gui, url: upstreams.guiUrl });
  await admin.create('/services', { name: names.api, url: upstreams.apiUrl });
  await admin.create(`/services/${names.gui}/routes`, route(names.gui, addresses.gui));
  await admin.create(`/services/${names.api}/routes`, route(names.api, addresses.api));
  for (const plugin of pluginsOf(site)) {
    await admin.create(`/routes/${names.api}/plugins`, plugin);
  }
}

function route(name: string, address: string): object {
  const { hostname, pathname, protocol } = new URL(address);
  return { name, hosts: [hostname], paths: [pathname], protocols: [protocol.replace(':', '')] };
}

/** The page shows when the session ends, and asks in the background without prolonging it. */
const PORTAL = {
  storage: 'kong',
  cookie_name: 'portal_session',
  self_service: true,
  response_headers: ['timeout'],
  idle_exempt_header: 'X-Background',
};

function pluginsOf({ addresses, anonymous, session }: Site): object[] {
  const gui = new URL(addresses.gui).origin;
  const api = new URL(addresses.api).origin;
  const auth = { anonymous, hide_credentials: true };
  const cors = {
    origins: [gui],
    credentials: true,
    methods: ['GET', 'DELETE'],
    exposed_headers: ['Session-Timeout'],
    max_age: 600,
  };
  return [
    ...(gui === api ? [] : [{ name: 'cors', config: cors }]),
    { name: 'basic-auth', config: auth },
    { name: 'key-auth', config: auth },
    { name: 'session-guard', config: { ...PORTAL, ...session } },
  ];
}
