import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { answerWhoAmI } from './whoami.ts';

/** The two upstreams of the demo portal, as Kong reaches them. */
export interface Portal {
  readonly guiUrl: string;
  readonly apiUrl: string;
  close(): Promise<void>;
}

export interface PortalOptions {
  readonly host?: string;
  /** 0 = a free one. */
  readonly guiPort?: number;
  readonly apiPort?: number;
}

export async function startPortal(options: PortalOptions = {}): Promise<Portal> {
  const { host = '127.0.0.1', guiPort = 0, apiPort = 0 } = options;
  const gui = createServer(servePage);
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

const PAGES: Readonly<Record<string, readonly [file: string, type: string]>> = {
  '/': ['index.html', 'text/html; charset=utf-8'],
  '/portal.css': ['portal.css', 'text/css; charset=utf-8'],
  '/portal.js': ['portal.js', 'text/javascript; charset=utf-8'],
  '/icon.svg': ['icon.svg', 'image/svg+xml'],
};

const HEADERS = {
  'Cache-Control': 'no-store',
  'Content-Security-Policy': [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    'connect-src https://api.demo.localhost:*',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
  ].join('; '),
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
};

/** Files are read at each request: whoever changes a page reloads it. */
function servePage(request: IncomingMessage, response: ServerResponse): void {
  const [path = ''] = (request.url ?? '').split('?');
  const page = Object.hasOwn(PAGES, path) ? PAGES[path] : undefined;
  if (page === undefined || (request.method !== 'GET' && request.method !== 'HEAD')) {
    response.writeHead(404, { 'Content-Type': 'text/plain' }).end('No such page.\n');
    return;
  }
  const [file, type] = page;
  readFile(fileURLToPath(new URL(`pages/${file}`, import.meta.url))).then(
    (content) => response.writeHead(200, { ...HEADERS, 'Content-Type': type }).end(content),
    () => response.writeHead(500).end(),
  );
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

/** By hand, in a container: `node --import tsx test/support/portal/portal.ts`: GUI on 3000, API on 3001. */
if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await startPortal({ host: '0.0.0.0', guiPort: 3000, apiPort: 3001 });
  console.log('portal: GUI on port 3000, API on port 3001');
}
