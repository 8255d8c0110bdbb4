import { randomUUID } from 'node:crypto';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Entities, Json } from '../entities.ts';
import { Catalogue } from './catalogue.ts';
import type { ExternalPlugin } from './catalogue.ts';
import { Dao } from './dao.ts';
import { AdminError } from './errors.ts';
import { Resources } from './resources.ts';
import type { Reply } from './resources.ts';
import { informationOn } from './information.ts';
import { readBody } from './body.ts';

export { createStartConfig } from './start-config.ts';
export type { StartConfig, StartConfigOptions } from './start-config.ts';
export type { ExternalPlugin } from './catalogue.ts';

export interface AdminOptions {
  /** The external plugins, as their servers' dumps describe them; the bundled ones are always there. */
  readonly plugins: readonly ExternalPlugin[];
  /** Makes the ids of new entities: UUIDs. */
  readonly newId?: () => string;
  /** Unix seconds. */
  readonly now?: () => number;
  /** Hears the error behind an answer of 500. */
  readonly onFailure?: (error: unknown) => void;
}

/** What nginx answers to a body of an unknown type, before Kong can. */
const UNSUPPORTED_PAGE = [
  '<html>',
  '<head><title>415 Unsupported Media Type</title></head>',
  '<body>',
  '<center><h1>415 Unsupported Media Type</h1></center>',
  '</body>',
  '</html>',
  '',
].join('\r\n');

/**
 * Kong's Admin API, as far as setting a gateway up needs it: a listener for `http.createServer` that writes
 * `entities`. Statuses, bodies and messages are those of Kong 3.9.1 (test/traces/admin-api).
 *
 * @throws TypeError for a plugin schema that Kong would refuse to start with.
 */
export function createAdmin(entities: Entities, options: AdminOptions): RequestListener {
  const catalogue = new Catalogue(options.plugins);
  const dao = new Dao(entities, catalogue, {
    id: options.newId ?? randomUUID,
    now: options.now ?? (() => Math.floor(Date.now() / 1000)),
  });
  const resources = new Resources(dao);
  const answer = async (request: IncomingMessage): Promise<Reply> => {
    const method = request.method ?? 'GET';
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://admin');
    const path = pathname.split('/').filter(Boolean).map(decodeURIComponent);
    const hasBody = method === 'POST' || method === 'PUT' || method === 'PATCH';
    const body = hasBody ? await readBody(request) : { data: {}, isForm: false };
    const call = { method, path, query: searchParams, body };
    return informationOn(catalogue, dao, call) ?? resources.answer(call);
  };
  return (request, response) => {
    answer(request).then(
      ({ status, body }) => send(response, status, body),
      (error: unknown) => {
        if (!(error instanceof AdminError)) options.onFailure?.(error);
        refuse(response, error);
      },
    );
  };
}

function refuse(response: ServerResponse, error: unknown): void {
  if (error instanceof AdminError && error.status === 415) {
    response.writeHead(415, { ...HEADERS, 'Content-Type': 'text/html; charset=UTF-8' });
    response.end(UNSUPPORTED_PAGE);
  } else if (error instanceof AdminError) send(response, error.status, error.body);
  else send(response, 500, { message: 'An unexpected error occurred' });
}

const HEADERS = {
  'Access-Control-Allow-Origin': '*',
  'Access-Control-Allow-Credentials': 'true',
  Server: 'kong/3.9.1',
};

function send(response: ServerResponse, status: number, body?: Json): void {
  if (body === undefined) {
    response.writeHead(status, HEADERS).end();
    return;
  }
  response.writeHead(status, { ...HEADERS, 'Content-Type': 'application/json; charset=utf-8' });
  // Kong's encoder escapes every slash.
  response.end(JSON.stringify(body).replaceAll('/', String.raw`\/`));
}
