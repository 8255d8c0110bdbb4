import { createServer } from 'node:net';

/** The demo's listeners, by the flag that chooses each; the numbers are Kong's defaults. */
export const DEFAULT_PORTS = { port: 8000, 'ssl-port': 8443, 'admin-port': 8001 } as const;

export type Ports = { readonly [flag in keyof typeof DEFAULT_PORTS]: number };

/** Throws an Error that names the flag for the first port that cannot be had. */
export async function checkPorts(ports: Ports): Promise<void> {
  for (const [flag, port] of Object.entries(ports)) {
    const problem = await tryPort(port);
    if (problem !== undefined) {
      throw new Error(
        `port ${port} ${problem}: choose another with npm start -- --${flag} <number>`,
      );
    }
  }
}

function tryPort(port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', ({ code }: NodeJS.ErrnoException) => {
      resolve(code === 'EADDRINUSE' ? 'is in use' : `cannot be used (${code})`);
    });
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(undefined)));
  });
}
