/** Everything the demo asks of Kong's Admin API. URLs are as Kong reaches them. */
export interface Setup {
  readonly adminUrl: string;
  readonly guiUrl: string;
  readonly apiUrl: string;
  /** The port of Kong's TLS listener as the browser sees it: part of the GUI's origin. */
  readonly sslPort: number;
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

export const GUI_HOST = 'portal.demo.localhost';
export const API_HOST = 'api.demo.localhost';

/**
 * Sets up a fresh Kong the way README.md tells an operator to. Nobody gets through anonymously: whom neither a
 * password, a key nor a session names stays the consumer `anonymous`, and that one is refused by Kong itself.
 */
export async function configure(setup: Setup): Promise<void> {
  const post = (path: string, body: object) => create(`${setup.adminUrl}${path}`, body);
  await post('/services', { name: 'gui', url: setup.guiUrl });
  await post('/services/gui/routes', { name: 'gui', hosts: [GUI_HOST], protocols: ['https'] });
  await post('/services', { name: 'api', url: setup.apiUrl });
  await post('/services/api/routes', { name: 'api', hosts: [API_HOST], protocols: ['https'] });

  const { username, password, key } = setup.account;
  await post('/consumers', { username });
  await post(`/consumers/${username}/basic-auth`, { username, password });
  await post(`/consumers/${username}/key-auth`, { key });

  const anonymous = await post('/consumers', { username: 'anonymous' });
  await post('/consumers/anonymous/plugins', {
    name: 'request-termination',
    config: { status_code: 403, message: 'Sign in first.' },
  });
  for (const plugin of routePlugins(setup, anonymous)) await post('/routes/api/plugins', plugin);
}

function routePlugins(setup: Setup, anonymous: string): object[] {
  const origin = `https://${GUI_HOST}${setup.sslPort === 443 ? '' : `:${setup.sslPort}`}`;
  const auth = { anonymous, hide_credentials: true };
  return [
    { name: 'cors', config: { origins: [origin], credentials: true, methods: ['GET', 'DELETE'] } },
    { name: 'basic-auth', config: auth },
    { name: 'key-auth', config: auth },
    {
      name: 'session-guard',
      config: {
        secret: setup.secret,
        storage: 'kong',
        postgres: { url: setup.databaseUrl },
        cookie_name: 'portal_session',
        cookie_domain: '.demo.localhost',
        cookie_same_site: 'Lax',
      },
    },
  ];
}

/** The id of the new entity. An answer other than 201 is an error with Kong's own words. */
async function create(url: string, body: object): Promise<string> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  if (response.status !== 201)
    throw new Error(`POST ${new URL(url).pathname}: ${response.status} ${text}`);
  return (JSON.parse(text) as { id: string }).id;
}
