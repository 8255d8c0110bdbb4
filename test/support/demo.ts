import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { checkPorts, DEFAULT_PORTS, type Ports } from './demo/ports.ts';
import { startDemo, type Demo } from './demo/start.ts';

/** `npm start [-- --port N --ssl-port N --admin-port N]`: the portal, until Ctrl-C. */
const USAGE = `npm start -- [options]

  --port <number>         HTTP (${DEFAULT_PORTS.port})
  --ssl-port <number>     HTTPS (${DEFAULT_PORTS['ssl-port']})
  --admin-port <number>   Admin API (${DEFAULT_PORTS['admin-port']})
`;

function parsePorts(): Ports {
  const option = { type: 'string' } as const;
  try {
    const { values } = parseArgs({
      options: { port: option, 'ssl-port': option, 'admin-port': option },
    });
    const port = (flag: keyof Ports) => {
      const number = Number(values[flag] ?? DEFAULT_PORTS[flag]);
      if (Number.isInteger(number) && number > 0 && number < 65_536) return number;
      throw new Error(`--${flag} must be a port number`);
    };
    return { port: port('port'), 'ssl-port': port('ssl-port'), 'admin-port': port('admin-port') };
  } catch (error) {
    throw new Error(`${messageOf(error)}\n\n${USAGE}`, { cause: error });
  }
}

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error));

/** The password of a server of ours ends with it; that of $DATABASE_URL is the user's and not for a screen. */
function withoutGivenPassword(databaseUrl: string): string {
  const url = new URL(databaseUrl);
  if ((process.env['DATABASE_URL'] ?? '') !== '') url.password = '';
  return url.href;
}

function describe({ portalUrl, apiUrl, adminUrl, databaseUrl, account, endpoint }: Demo): string {
  const curl = "curl -sk -w '%{http_code}\\n'";
  const url = `${apiUrl}/whoami`;
  const jar = join(tmpdir(), 'demo.jar');
  return `
  Portal      ${portalUrl}   (its certificate is minutes old: let the browser accept it)
  Account     ${account.username}, password ${account.password}, or key ${account.key}
  Admin API   ${adminUrl}
  Console     ${endpoint.url}/console   (token ${endpoint.token})
  Metrics     ${endpoint.url}/metrics, ${endpoint.url}/readyz
  Sessions    psql ${withoutGivenPassword(databaseUrl)} -c 'table session_guard.sessions'

  Sign in, call with the cookie, sign out, call again with the same cookie:

${curl} -c ${jar} -u ${account.username}:${account.password} ${url}
${curl} -b ${jar} ${url}
${curl} -b ${jar} -X DELETE '${url}?session_logout=true'
${curl} -b ${jar} ${url}

  Ctrl-C ends it.
`;
}

/** Resolves at the first signal. A second one ends the process at once, as if nobody listened. */
const untilSignal = () =>
  new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.once(signal, () => resolve());
    }
  });

async function main(): Promise<void> {
  const ports = parsePorts();
  await checkPorts(ports);
  const signalled = untilSignal();
  console.log('Starting Postgres, the plugin server, a stand-in for Kong and the portal …');
  const demo = await startDemo(ports);
  console.log(describe(demo));
  await signalled;
  console.log('Stopping …');
  await demo.stop();
}

main().catch((error: unknown) => {
  console.error(messageOf(error));
  process.exit(1); // a start that failed half-way may have left a listener open
});
