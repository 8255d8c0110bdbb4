import { randomBytes } from 'node:crypto';
import { addressesAt, configure } from './configure.ts';

/** The set-up container of docker-compose.yml: configures a fresh Kong once, and leaves it alone ever after. */
const adminUrl = setting('ADMIN_URL');

if ((await fetch(`${adminUrl}/services/api`)).ok) {
  console.log('Kong is configured already.');
} else {
  const account = {
    username: 'demo',
    password: setting('DEMO_PASSWORD'),
    key: randomBytes(16).toString('hex'),
  };
  await configure({
    adminUrl,
    addresses: addressesAt(Number(setting('SSL_PORT'))),
    upstreams: { guiUrl: setting('GUI_URL'), apiUrl: setting('API_URL') },
    secret: randomBytes(32).toString('base64'),
    databaseUrl: setting('SESSION_DATABASE_URL'),
    account,
  });
  console.log('Kong is configured.');
}

function setting(name: string): string {
  const value = process.env[name];
  if (value === undefined || value === '')
    throw new Error(`the environment variable ${name} is missing`);
  return value;
}
