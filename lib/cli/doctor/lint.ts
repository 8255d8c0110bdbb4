import { secretProblem } from '../../secret.ts';
import { NAME } from '../../schema.ts';
import { findingsOf } from '../bundled/findings.ts';
import { RENAMED } from '../bundled/names.ts';
import { lintCookies } from './clash.ts';
import { error, ok, warning } from './diagnosis.ts';
import type { Diagnosis } from './diagnosis.ts';
import { appliesTo, pluginsOn } from './gateway.ts';
import type { Gateway, Plugin, Route } from './gateway.ts';
import { lintProtocol } from './protocol.ts';

/** Judges a gateway's configuration: the node, each session-guard plugin, each route that has one. */
export async function lint(gateway: Gateway): Promise<Diagnosis[]> {
  const guards = gateway.plugins.filter(({ name }) => name === NAME);
  const routes = await Promise.all(gateway.routes.map((route) => lintRoute(route, gateway)));
  return [
    ...lintNode(gateway),
    ...(guards.length === 0
      ? [warning('nowhere', 'gateway', `has no ${NAME} plugin`, 'attach it to a route')]
      : []),
    ...guards.flatMap(lintPlugin),
    ...lintCookies(guards),
    ...routes.flat(),
  ];
}

function lintNode(gateway: Gateway): Diagnosis[] {
  const { version, hasLoaded, proxyDirectives, isMute, protocol, plugins } = gateway;
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const isOld = major < 3 || (major === 3 && minor < 4);
  const drops = proxyDirectives?.some(
    ({ name, value }) =>
      (name === 'underscores_in_headers' && value === 'off') ||
      (name === 'include' && String(value).endsWith('/session-guard.conf')),
  );
  const hasLdap = plugins.some(({ name }) => isLdap(name));
  return [
    isOld
      ? error('kong_old', 'gateway', `is Kong ${version}`, 'session-guard needs Kong 3.4 or newer')
      : ok('kong', 'gateway', `is Kong ${version}`),
    ...lintProtocol([major, minor], protocol, hasLdap),
    ...(isMute
      ? [
          warning(
            'admin_root',
            'gateway',
            'answers 500 to GET / of the Admin API, as Kong 3.9.0 and 3.9.1 do while they run any plugin server themselves (Kong/kong#14111)',
            'harmless for requests; where Kong Manager needs it let systemd or a sidecar run the plugin server',
          ),
        ]
      : []),
    ...(hasLoaded
      ? []
      : [
          error(
            'not_loaded',
            'gateway',
            `has not loaded ${NAME}`,
            `plugins = bundled,${NAME} and the lines of kong.conf.example in kong.conf`,
          ),
        ]),
    ...(drops === false
      ? [
          warning(
            'underscores',
            'gateway',
            'passes headers like x_consumer_username on, which many upstreams read as X-Consumer-Username',
            'nginx_proxy_underscores_in_headers = off in kong.conf',
          ),
        ]
      : []),
  ];
}

/** Findings that concern a configuration which is already session-guard's. */
const FINDINGS = new Set([
  'storage_cookie',
  'rolling_cut_short',
  'cookie_insecure',
  'none_forces_secure',
  'same_site_none',
  'domain_unusable',
]);

function lintPlugin({ id, enabled, config }: Plugin): Diagnosis[] {
  const place = `plugin ${id}`;
  const found = { origin: 'plugin', where: place, scope: { kind: 'global' }, entity: {} } as const;
  const isFinal = typeof config['postgres'] === 'object' && config['postgres'] !== null;
  const findings = findingsOf({ ...found, config }, config).filter(
    ({ code }) => FINDINGS.has(code) && !(code === 'storage_cookie' && isFinal),
  );
  const old = Object.keys(RENAMED).filter((name) => (config[name] ?? null) !== null);
  return [
    ...(enabled ? [] : [warning('disabled', place, 'is switched off', 'set enabled: true')]),
    ...lintSecret(config['secret'], place),
    ...old.map((name) =>
      warning(
        'old_name',
        place,
        `${name} overrides ${RENAMED[name]}`,
        `set ${RENAMED[name]} instead`,
      ),
    ),
    ...findings.map(({ code, field, message }): Diagnosis => {
      return { level: 'warning', code, place, message: `${field} ${message}` };
    }),
  ];
}

function lintSecret(secret: unknown, place: string): Diagnosis[] {
  if (typeof secret !== 'string' || secret.startsWith('{vault://')) return [];
  const problem = secretProblem(secret);
  const remedy = "keep it in a vault, such as Kong's environment: {vault://env/session-secret}";
  return [
    ...(problem === undefined
      ? []
      : [error('secret_weak', place, `secret ${problem}`, 'session-guard secret generate')]),
    warning('secret_in_clear', place, 'secret stands in the configuration', remedy),
  ];
}

/** Plugins that sign somebody in: Kong's own and Enterprise's. */
const AUTH = new Set([
  'basic-auth',
  'header-cert-auth',
  'hmac-auth',
  'jwt',
  'jwt-signer',
  'key-auth',
  'key-auth-enc',
  'ldap-auth',
  'ldap-auth-advanced',
  'mtls-auth',
  'oauth2',
  'oauth2-introspection',
  'openid-connect',
  'saml',
  'vault-auth',
]);

async function lintRoute(route: Route, gateway: Gateway): Promise<Diagnosis[]> {
  const plugins = pluginsOn(route, gateway.plugins);
  const guard = plugins.find(({ name }) => name === NAME);
  if (guard === undefined) return [];
  const place = `route ${route.name}`;
  const auth = plugins.filter(({ name }) => AUTH.has(name));
  const anonymous = await Promise.all(
    auth.map((plugin) => lintAnonymous(plugin, guard, route, gateway)),
  );
  const diagnoses = [
    ...(auth.length === 0
      ? [
          error(
            'no_auth',
            place,
            'has no plugin that signs anybody in',
            'add key-auth, basic-auth or another one, with anonymous set',
          ),
        ]
      : []),
    ...anonymous.flat(),
    ...lintNeighbours(plugins, place, gateway),
  ];
  return diagnoses.length > 0 ? diagnoses : [ok('route', place, 'is set up as documented')];
}

async function lintAnonymous(
  auth: Plugin,
  guard: Plugin,
  route: Route,
  { plugins, consumer }: Gateway,
): Promise<Diagnosis[]> {
  const place = `route ${route.name}`;
  const reference = auth.config['anonymous'];
  if (typeof reference !== 'string' || reference === '') {
    const message = `${auth.name} refuses requests that have only a cookie`;
    return [error('no_anonymous', place, message, `set its anonymous to a consumer of that name`)];
  }
  const id = await consumer(reference);
  if (id === undefined) {
    const message = `${auth.name} has an anonymous that is no consumer`;
    return [error('anonymous_unknown', place, message, 'create the consumer')];
  }
  const isClosed = plugins.some(
    (plugin) =>
      plugin.name === 'request-termination' &&
      plugin.enabled &&
      plugin.consumer === id &&
      appliesTo(plugin, route),
  );
  if (isClosed) return [];
  const remedy = 'attach request-termination to the anonymous consumer';
  return guard.config['unauthenticated'] === 'deny'
    ? [
        warning(
          'open_when_down',
          place,
          'is open while the plugin server is down, if Kong speaks MessagePack with it',
          remedy,
        ),
      ]
    : [error('open', place, 'is open to everybody: nothing refuses the anonymous', remedy)];
}

const isLdap = (name: string): boolean => name.startsWith('ldap-auth');

function lintNeighbours(
  plugins: readonly Plugin[],
  place: string,
  { protocol }: Gateway,
): Diagnosis[] {
  const named = (test: (plugin: Plugin) => boolean) => plugins.find(test);
  const diagnoses: Diagnosis[] = [];
  if (named(({ name }) => name === 'session')) {
    const message =
      'also has the bundled session plugin, whose cookie hides credentials from session-guard';
    diagnoses.push(error('bundled_session', place, message, 'remove the bundled one'));
  }
  const ldap = named(({ name }) => isLdap(name));
  if (ldap && protocol !== 'msgpack') {
    const message = `${ldap.name} starts no session unless Kong speaks MessagePack: its credential has no id`;
    const remedy = 'add --protocol msgpack to the query command';
    diagnoses.push(warning('credential_without_id', place, message, remedy));
  }
  const buffering = named(({ name }) => name.startsWith('ai-'));
  if (buffering) {
    const message = `${buffering.name} buffers responses: a Set-Cookie of the upstream then replaces ours`;
    diagnoses.push(
      warning('buffered', place, message, 'do not combine them on a route that signs in'),
    );
  }
  const cors = named(({ name, config }) => name === 'cors' && config['credentials'] !== true);
  if (cors) {
    const message =
      'cors does not allow credentials, so pages of other origins cannot send the cookie';
    diagnoses.push(warning('cors', place, message, 'set credentials: true and name the origins'));
  }
  return diagnoses;
}
