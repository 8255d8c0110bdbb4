import type { IncomingMessage, ServerResponse } from 'node:http';

/** The account as the API tells it; ids are Kong's. */
interface Account {
  readonly username: string;
  readonly consumer: string;
  readonly credential: string;
}

/**
 * The portal's API: it knows no passwords and no cookies, it believes the identity headers that Kong sets. It asks
 * for a positive identity, since a client can make headers vanish but not appear (kong/runloop/handler.lua).
 */
export function answerWhoAmI(request: IncomingMessage, response: ServerResponse): void {
  const [path] = (request.url ?? '').split('?');
  const account = identify(request);
  if (path !== '/whoami') reply(response, 404, { message: 'There is only /whoami.' });
  else if (account === undefined) reply(response, 401, { message: 'Kong named nobody.' });
  else reply(response, 200, account);
}

function identify({ headers }: IncomingMessage): Account | undefined {
  const text = (name: string) => {
    const value = headers[name];
    return typeof value === 'string' ? Buffer.from(value, 'latin1').toString() : '';
  };
  const username = text('x-consumer-username');
  if (username === '' || headers['x-anonymous-consumer'] !== undefined) return undefined;
  return {
    username,
    consumer: text('x-consumer-id'),
    credential: text('x-credential-identifier'),
  };
}

function reply(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' });
  response.end(`${JSON.stringify(body)}\n`);
}
