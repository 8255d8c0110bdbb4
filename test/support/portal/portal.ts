import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { createGui } from './gui.ts';
import { answerWhoAmI } from './whoami.ts';

/** The two upstreams of the demo portal, as Kong reaches them. */
export interface Portal {
  readonly guiUrl: string;
  readonly apiUrl: string;
  close(): Promise<void>;
}

export interface PortalOptions {
  /** Where browsers find the API, such as `https://api.example.com` or `https://example.com/api`. */
  readonly apiAddress: string;
  readonly host?: string;
  /** 0 = a free one. */
  readonly guiPort?: number;
  readonly apiPort?: number;
}

export async function startPortal(options: PortalOptions): Promise<Portal> {
  const { apiAddress, host = '127.0.0.1', guiPort = 0, apiPort = 0 } = options;
  const gui = createServer(createGui(apiAddress));
  const api = createServer(answerWhoAmI);
  const [guiBound, apiBound] = await Promise.all([
    listen(gui, guiPort, host),
    listen(api, apiPort, host),
  ]);
  return {
    guiUrl: `http://${host}:${guiBound}`,
    apiUrl: `http://${host}:${apiBound}`,
    close: async () => {
      await Promise.all([close(gui), close(api)]);
    },
  };
}

async function listen(server: Server, port: number, host: string): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(port, host, resolve);
  });
  return (server.address() as AddressInfo).port;
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

/**
 * By hand, in a container: `API_ADDRESS=https://… node --import tsx test/support/portal/portal.ts`: GUI on port 3000,
 * API on 3001.
 */
if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const apiAddress = process.env['API_ADDRESS'];
  if (apiAddress === undefined) throw new Error('the environment variable API_ADDRESS is missing');
  await startPortal({ apiAddress, host: '0.0.0.0', guiPort: 3000, apiPort: 3001 });
  console.log('portal: GUI on port 3000, API on port 3001');
}
