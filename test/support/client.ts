import { Agent, request as plainRequest, type IncomingHttpHeaders } from 'node:http';
import { Agent as SecureAgent, request as secureRequest } from 'node:https';
import { connect } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { Cookie, CookieJar } from 'tough-cookie';
import type { Echo } from './upstream.ts';

/** Where a gateway listens: URLs on loopback, whatever host names its routes have. */
export interface Listeners {
  readonly proxyUrl: string;
  readonly proxySslUrl: string;
}

export interface Ask {
  /** Default GET. Sent in upper case. */
  readonly method?: string;
  /** Path and query, as they go over the wire. Default `/`. */
  readonly path?: string;
  /** Instead of the browser's host. */
  readonly host?: string;
  /** Byte strings (latin1); a list makes a line of each element. */
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  /** Cookie lines instead of the jar's; '' or [] = none. What the answer sets is then not kept either. */
  readonly cookie?: string | readonly string[];
  readonly body?: string | Uint8Array;
  /** Sends the body in one chunk of unknown length. */
  readonly chunked?: boolean;
  /** Default https. */
  readonly scheme?: 'https' | 'http';
  /** A connection of its own, so that another worker of the gateway may take it. */
  readonly fresh?: boolean;
  readonly signal?: AbortSignal;
}

export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** The Set-Cookie lines, as they came. */
  readonly setCookies: readonly string[];
  readonly body: string;
}

const plainAgent = new Agent({ keepAlive: true });
const secureAgent = new SecureAgent({ keepAlive: true, rejectUnauthorized: false });

/**
 * A request to a gateway on loopback under another host name: Node's resolver knows no names such as `app.test`, so
 * the Host header and the TLS server name are sent for it. `onHead` runs as soon as the head of the answer is there.
 */
export function send(
  listeners: Listeners,
  host: string,
  ask: Ask,
  onHead?: (setCookies: readonly string[]) => void,
): Promise<Reply> {
  const isSecure = ask.scheme !== 'http';
  const { hostname, port } = new URL(isSecure ? listeners.proxySslUrl : listeners.proxyUrl);
  const agent = isSecure ? secureAgent : plainAgent;
  const options = {
    host: hostname,
    port,
    servername: host,
    rejectUnauthorized: false,
    agent: ask.fresh === true ? false : agent,
    method: ask.method ?? 'GET',
    path: ask.path ?? '/',
    // A flat list: names and values as given, in this order, a line each.
    headers: headerLines(host, ask).flat() as unknown as Record<string, string>,
    ...(ask.signal && { signal: ask.signal }),
  };
  return new Promise((resolve, reject) => {
    const outgoing = (isSecure ? secureRequest : plainRequest)(options);
    outgoing.once('error', reject).once('response', (incoming) => {
      const { statusCode: status = 0, headers } = incoming;
      const setCookies = headers['set-cookie'] ?? [];
      onHead?.(setCookies);
      buffer(incoming).then(
        (body) => resolve({ status, headers, setCookies, body: body.toString() }),
        reject,
      );
    });
    outgoing.end(ask.body);
  });
}

function headerLines(host: string, ask: Ask): [name: string, value: string][] {
  const { headers = {}, cookie = [], body } = ask;
  const lines = Object.entries({ Host: host, ...headers, Cookie: cookie }).flatMap(
    ([name, value]): [string, string][] =>
      [value].flat().map((one: string): [string, string] => [name, one]),
  );
  if (ask.chunked === true) lines.push(['Transfer-Encoding', 'chunked']);
  else if (body !== undefined) lines.push(['Content-Length', String(Buffer.byteLength(body))]);
  return lines.filter(([name, value]) => name !== 'Cookie' || value !== '');
}

/** What reached the upstream. Throws where the answer is not the echo server's. */
export function echoOf({ status, body }: Reply): Echo {
  try {
    const echo = JSON.parse(body) as Partial<Echo>;
    if (echo.rawHeaders !== undefined) return echo as Echo;
  } catch {
    // Not JSON: told below, with the body.
  }
  throw new Error(`the upstream did not answer, but: ${status} ${body.slice(0, 200)}`);
}

/** The request's octets as given; resolves with the status, or 0 where the connection was closed without one. */
export function sendRaw(listeners: Listeners, octets: string, limit = 10_000): Promise<number> {
  const { hostname, port } = new URL(listeners.proxyUrl);
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = connect(Number(port), hostname, () => socket.write(octets, 'latin1'));
    socket.setTimeout(limit, () => socket.destroy(new Error(`no answer within ${limit} ms`)));
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      const status = /^HTTP\/1\.1 (\d{3})/.exec(text)?.[1];
      if (status === undefined) return;
      resolve(Number(status));
      socket.destroy();
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNRESET' || error.code === 'EPIPE') resolve(0);
      else reject(error);
    });
    socket.once('close', () => resolve(0));
  });
}

/** A browser as far as cookies go: RFC 6265 with prefixes, Secure, Path and Domain, by tough-cookie. */
export class Browser {
  readonly host: string;
  readonly #listeners: Listeners;
  readonly #jar: CookieJar;

  constructor(listeners: Listeners, host: string, jar = newJar()) {
    this.host = host;
    this.#listeners = listeners;
    this.#jar = jar;
  }

  /** Sends the jar's cookies and keeps what the answer sets, unless `cookie` says otherwise. */
  async ask(ask: Ask = {}): Promise<Reply> {
    const host = ask.host ?? this.host;
    const url = `${ask.scheme ?? 'https'}://${host}${ask.path ?? '/'}`;
    if (ask.cookie !== undefined) return send(this.#listeners, host, ask);
    const cookie = this.#jar.getCookieStringSync(url);
    const keep = (lines: readonly string[]): void => {
      for (const line of lines) this.#jar.setCookieSync(line, url, { ignoreError: true });
    };
    return send(this.#listeners, host, { ...ask, cookie }, keep);
  }

  get(path = '/'): Promise<Reply> {
    return this.ask({ path });
  }

  /** What the browser would send to a path over HTTPS now. */
  cookies(path = '/'): string {
    return this.#jar.getCookieStringSync(`https://${this.host}${path}`);
  }

  /** The value of one cookie. Throws where there is none. */
  cookie(name = 'session', path = '/'): string {
    const found = this.#jar
      .getCookiesSync(`https://${this.host}${path}`)
      .find(({ key }) => key === name);
    if (found === undefined) throw new Error(`the browser holds no cookie called ${name}`);
    return found.value;
  }

  /** Somebody with the same cookies, at this gateway or at another one of the same cluster. */
  copy(listeners: Listeners = this.#listeners): Browser {
    return new Browser(listeners, this.host, this.#jar.cloneSync() ?? newJar());
  }
}

const newJar = (): CookieJar => new CookieJar(undefined, { prefixSecurity: 'strict' });

/** One Set-Cookie line, taken apart. */
export interface SetCookie {
  readonly name: string;
  readonly value: string;
  /** Names in lower case; an attribute without a value has `true`. */
  readonly attributes: ReadonlyMap<string, string | true>;
}

export function parseSetCookie(line: string): SetCookie {
  const [pair = '', ...rest] = line.split('; ');
  const mark = pair.indexOf('=');
  const attributes = rest.map((attribute): [string, string | true] => {
    const at = attribute.indexOf('=');
    if (at === -1) return [attribute.toLowerCase(), true];
    return [attribute.slice(0, at).toLowerCase(), attribute.slice(at + 1)];
  });
  return {
    name: pair.slice(0, mark),
    value: pair.slice(mark + 1),
    attributes: new Map(attributes),
  };
}

/** Whether a line makes browsers forget the cookie. */
export const isDeletion = (line: string): boolean => {
  const cookie = Cookie.parse(line, { loose: true });
  return cookie?.value === '' && (cookie.maxAge === 0 || cookie.expiryTime() === 0);
};
