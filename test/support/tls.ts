import { isIP } from 'node:net';
import { generate } from 'selfsigned';

/** PEM, as node's `tls` takes them. */
export interface Certificate {
  readonly key: string;
  readonly cert: string;
}

/** The hosts of the demo and of the tests. A wildcard covers one label (RFC 6125 §6.4.3). */
const HOSTS = [
  'demo.localhost',
  '*.demo.localhost',
  'localhost',
  'app.test',
  '*.app.test',
  '*.xyz.test',
  '127.0.0.1',
  '::1',
];

const HOUR = 3600_000;

/** A self-signed certificate that lives a day and is made anew at every start: nothing to commit or to leak. */
export async function createCertificate(hosts: readonly string[] = HOSTS): Promise<Certificate> {
  const now = Date.now();
  const { private: key, cert } = await generate(
    [{ name: 'commonName', value: 'session-guard demo' }],
    {
      keyType: 'ec',
      algorithm: 'sha256',
      notBeforeDate: new Date(now - HOUR), // clients whose clock is a little behind
      notAfterDate: new Date(now + 24 * HOUR),
      extensions: [
        { name: 'basicConstraints', cA: false, critical: true },
        { name: 'extKeyUsage', serverAuth: true },
        {
          name: 'subjectAltName',
          altNames: hosts.map((host) =>
            isIP(host) === 0 ? { type: 2, value: host } : { type: 7, ip: host },
          ),
        },
      ],
    },
  );
  return { key, cert };
}
