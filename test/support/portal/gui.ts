import { readFile } from 'node:fs/promises';
import type { RequestListener } from 'node:http';
import { fileURLToPath } from 'node:url';

const PAGES: Readonly<Record<string, readonly [file: string, type: string]>> = {
  '/': ['index.html', 'text/html; charset=utf-8'],
  '/icon.svg': ['icon.svg', 'image/svg+xml'],
  '/portal.css': ['portal.css', 'text/css; charset=utf-8'],
  ...Object.fromEntries(
    ['client', 'countdown', 'device', 'portal', 'sessions', 'sign-in', 'view'].map((name) => [
      `/${name}.js`,
      [`${name}.js`, 'text/javascript; charset=utf-8'],
    ]),
  ),
};

const headersFor = (api: URL) => ({
  'Cache-Control': 'no-store',
  'Content-Security-Policy': [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    `connect-src ${api.origin}`,
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
  ].join('; '),
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
});

/**
 * The portal's pages. They talk to the API at `apiAddress`, a URL as browsers know it, and to nobody else. Files are
 * read at each request: whoever changes a page reloads it.
 */
export function createGui(apiAddress: string): RequestListener {
  const api = new URL(apiAddress); // whose spelling needs no escaping in HTML
  const address = api.href.replace(/\/$/, '');
  const headers = headersFor(api);
  return (request, response) => {
    const [path = ''] = (request.url ?? '').split('?');
    const page = Object.hasOwn(PAGES, path) ? PAGES[path] : undefined;
    if (page === undefined || (request.method !== 'GET' && request.method !== 'HEAD')) {
      response.writeHead(404, { 'Content-Type': 'text/plain' }).end('No such page.\n');
      return;
    }
    const [file, type] = page;
    readFile(fileURLToPath(new URL(`pages/${file}`, import.meta.url)), 'utf8').then(
      (text) =>
        response
          .writeHead(200, { ...headers, 'Content-Type': type })
          .end(text.replace('%API%', address)),
      () => response.writeHead(500).end(),
    );
  };
}
