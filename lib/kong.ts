import type { Config } from './config.ts';
import type { Consumer } from './consumers.ts';
import type { Decision } from './guard.ts';
import type { Pdk, PdkCall, PdkValue } from './pdk.ts';
import type { Origin, Request, RequestBody, RequestLine } from './request.ts';
import type { Session } from './session.ts';

const CREDENTIAL: PdkCall = ['kong.client.get_credential'];
const CONSUMER: PdkCall = ['kong.client.get_consumer'];
/**
 * Several Cookie lines and HTTP/2 crumbs arrive joined. `get_header` would fall back to the first line when a value
 * contains ", " (kong-protocol.md C.1).
 */
const COOKIE: PdkCall = ['kong.nginx.get_var', 'http_cookie'];
const REQUEST_LINE: PdkCall = ['kong.nginx.get_var', 'request'];
const GROUPS: PdkCall = ['kong.nginx.get_ctx', 'authenticated_groups'];

/** Kong's own buffer for bodies (client_body_buffer_size); over MessagePack a larger one would be a 500. */
const MAX_BODY = 8192;

/**
 * Reads a request: what is always needed at once, the rest when the guard asks for it. Never whole maps of
 * headers or arguments: a client can crash or mislead a plugin server through their keys (kong-protocol.md F1, F2).
 */
export async function readRequest(pdk: Pdk): Promise<Request> {
  const calls = pdk.pipelined ? [CREDENTIAL, COOKIE, CONSUMER, REQUEST_LINE] : [CREDENTIAL, COOKIE];
  const [credential, cookies, consumer, line] = await pdk.read(calls);
  return new KongRequest(pdk, text(cookies) ?? '', credentialOf(credential), {
    ...(pdk.pipelined && { consumer: [consumerOf(consumer)], line: parseLine(line) }),
  });
}

interface Prefetched {
  readonly consumer?: readonly [Consumer | undefined];
  readonly line?: RequestLine;
}

class KongRequest implements Request {
  readonly cookies: string;
  readonly credential: { id?: string } | undefined;
  readonly #pdk: Pdk;
  #consumer: readonly [Consumer | undefined] | undefined;
  #line: RequestLine | undefined;

  constructor(
    pdk: Pdk,
    cookies: string,
    credential: { id?: string } | undefined,
    prefetched: Prefetched,
  ) {
    this.#pdk = pdk;
    this.cookies = cookies;
    this.credential = credential;
    this.#consumer = prefetched.consumer;
    this.#line = prefetched.line;
  }

  async consumer(): Promise<Consumer | undefined> {
    this.#consumer ??= [consumerOf(await this.#ask(CONSUMER))];
    return this.#consumer[0];
  }

  async line(): Promise<RequestLine> {
    this.#line ??= parseLine(await this.#ask(REQUEST_LINE));
    return this.#line;
  }

  /** Chunked bodies have no length to go by and are left alone. */
  async body(): Promise<RequestBody | undefined> {
    const [type, length] = await this.#pdk.read([
      ['kong.request.get_header', 'content-type'],
      ['kong.request.get_header', 'content-length'],
    ]);
    const size = Number(text(length) ?? 0);
    if (!(size > 0 && size <= MAX_BODY)) return undefined;
    // 0: read back also what a smaller client_body_buffer_size has spilled into a file (Kong ≥ 3.9).
    const body = await this.#ask(['kong.request.get_raw_body', 0]);
    if (!(body instanceof Uint8Array)) return undefined;
    return { type: text(type) ?? '', bytes: body };
  }

  async origin(): Promise<Origin> {
    const [ip, agent] = await this.#pdk.read([
      ['kong.client.get_forwarded_ip'],
      ['kong.request.get_header', 'user-agent'],
    ]);
    const userAgent = text(agent)?.slice(0, 256);
    return {
      ...(text(ip) !== undefined && { ip: text(ip) as string }),
      ...(userAgent !== undefined && { userAgent }),
    };
  }

  async groups(): Promise<readonly string[] | undefined> {
    const groups = await this.#ask(GROUPS);
    if (!Array.isArray(groups) || groups.length === 0) return undefined;
    return groups.every((group) => typeof group === 'string') ? groups : undefined;
  }

  async loadConsumer(id: string): Promise<Consumer | undefined> {
    return consumerOf(await this.#ask(['kong.client.load_consumer', id]));
  }

  async #ask(call: PdkCall): Promise<unknown> {
    const [result] = await this.#pdk.read([call]);
    return result;
  }
}

/** Absent and empty are one: ProtoBuf cannot tell them apart. */
const text = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' ? value : undefined;

function member(value: unknown, name: string): string | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  return text((value as Record<string, unknown>)[name]);
}

/** Only the id is taken: the row also holds the key, or the hash of the password. */
function credentialOf(value: unknown): { id?: string } | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const id = member(value, 'id');
  return id === undefined ? {} : { id };
}

function consumerOf(value: unknown): Consumer | undefined {
  const id = member(value, 'id');
  if (id === undefined) return undefined;
  const username = member(value, 'username');
  const customId = member(value, 'custom_id');
  return {
    id,
    ...(username !== undefined && { username }),
    ...(customId !== undefined && { customId }),
  };
}

/** `GET /path?query HTTP/1.1`, as nginx received it. */
function parseLine(value: unknown): RequestLine {
  const [, method = '', target = ''] = /^(\S+) (\S+)/.exec(text(value) ?? '') ?? [];
  const [beforeFragment = ''] = target.split('#', 1);
  const mark = beforeFragment.indexOf('?');
  return { method, query: mark === -1 ? '' : beforeFragment.slice(mark + 1) };
}

/** Identity headers that Kong's auth plugins and acl set or clear by themselves. */
const CONSUMER_HEADERS = [
  'X-Consumer-ID',
  'X-Consumer-Custom-ID',
  'X-Consumer-Username',
  'X-Credential-Identifier',
  'X-Anonymous-Consumer',
];
/** Those that nobody but a client, or an auth plugin that we override, has set when it is our turn. */
const AUTHENTICATED_HEADERS = ['X-Authenticated-Scope', 'X-Authenticated-UserId'];
const GROUP_HEADERS = ['X-Authenticated-Groups', 'X-Consumer-Groups'];

/**
 * Many frameworks fold underscores into dashes, so a client's `x_consumer_username` would speak for Kong
 * (CVE-2025-64484). For mixed spellings see kong.conf.example.
 */
const UNDERSCORE_TWINS = [...CONSUMER_HEADERS, ...AUTHENTICATED_HEADERS, ...GROUP_HEADERS].map(
  (name) => name.replaceAll('-', '_'),
);

type Headers = Record<string, PdkValue>;

/** `[]` clears a header in the same call that sets others; null would leave the client's. */
const cleared = (names: readonly string[]): Headers =>
  Object.fromEntries(names.map((name) => [name, []]));

const ALWAYS_CLEARED = cleared([...UNDERSCORE_TWINS, ...GROUP_HEADERS]);
const CLEARED_FOR_NOBODY = { ...ALWAYS_CLEARED, ...cleared(AUTHENTICATED_HEADERS) };
const CLEARED_WITHOUT_AUTH_PLUGIN = { ...CLEARED_FOR_NOBODY, ...cleared(CONSUMER_HEADERS) };

/** The calls that carry a decision out, in one batch that ends the event. */
export async function carryOut(
  decision: Decision,
  config: Config,
  request: Request,
  pdk: Pdk,
): Promise<void> {
  switch (decision.kind) {
    case 'unavailable':
      return pdk.act(UNAVAILABLE);
    case 'logout':
      return pdk.act([exit(200, '', { 'Set-Cookie': decision.cookies, ...NO_STORE })]);
    case 'nobody':
      if (config.unauthenticated === 'deny') return pdk.act([deny(decision.cookies)]);
      return pdk.act([
        upstreamHeaders(
          (await request.consumer()) ? CLEARED_FOR_NOBODY : CLEARED_WITHOUT_AUTH_PLUGIN,
          decision.rest,
        ),
        ...cookieCalls(decision.cookies),
      ]);
    case 'credential':
      return pdk.act([
        upstreamHeaders({ ...ALWAYS_CLEARED, ...groupHeader(decision.groups) }, decision.rest),
        ...cookieCalls(decision.cookies),
      ]);
    case 'session':
      return pdk.act([
        upstreamHeaders(identityHeaders(decision.session, decision.consumer), decision.rest),
        ...cookieCalls(decision.cookies),
        ...groupCalls(decision.session),
        ...identityCalls(decision.session, decision.consumer, pdk),
      ]);
  }
}

/** Answers a request whose fate could not be decided. */
export const refuse = (pdk: Pdk): Promise<void> => pdk.act(UNAVAILABLE);

/** A response that carries or ends a session belongs in no cache (RFC 9111 5.2.2.5; CVE-2025-48947). */
const NO_STORE = { 'Cache-Control': 'no-store' };
const JSON_TYPE = { 'Content-Type': 'application/json; charset=utf-8' };

const exit = (status: number, body: string, headers: Headers): PdkCall => [
  'kong.response.exit',
  status,
  body,
  headers,
];

const UNAVAILABLE: readonly PdkCall[] = [
  exit(503, '{"message":"Service temporarily unavailable"}', {
    'Retry-After': '5',
    ...NO_STORE,
    ...JSON_TYPE,
  }),
];

/** No WWW-Authenticate: it would make browsers ask for a password in a window of their own. */
const deny = (cookies: readonly string[]): PdkCall =>
  exit(401, '{"message":"Unauthorized"}', {
    ...(cookies.length > 0 && { 'Set-Cookie': cookies }),
    ...NO_STORE,
    ...JSON_TYPE,
  });

function upstreamHeaders(headers: Headers, rest: string | undefined): PdkCall {
  const cookie = rest === undefined ? undefined : { Cookie: rest === '' ? [] : rest };
  return ['kong.service.request.set_headers', { ...headers, ...cookie }];
}

const cookieCalls = (cookies: readonly string[]): PdkCall[] =>
  cookies.length === 0
    ? []
    : [
        ['kong.response.add_header', 'Set-Cookie', cookies],
        ['kong.response.set_header', 'Cache-Control', 'no-store'],
      ];

const groupHeader = (groups: readonly string[] | undefined): Headers =>
  groups && groups.length > 0 ? { 'X-Authenticated-Groups': groups.join(', ') } : {};

function identityHeaders({ credentialId, data }: Session, consumer: Consumer): Headers {
  return {
    ...CLEARED_WITHOUT_AUTH_PLUGIN,
    'X-Consumer-ID': consumer.id,
    ...(consumer.customId !== undefined && { 'X-Consumer-Custom-ID': consumer.customId }),
    ...(consumer.username !== undefined && { 'X-Consumer-Username': consumer.username }),
    ...(credentialId !== undefined && { 'X-Credential-Identifier': credentialId }),
    ...groupHeader(data.groups),
  };
}

const groupCalls = ({ data }: Session): PdkCall[] =>
  data.groups && data.groups.length > 0
    ? [['kong.nginx.set_ctx', 'authenticated_groups', data.groups]]
    : [];

/** The last step of all: from here on Kong takes the request for the consumer's. */
function identityCalls(session: Session, consumer: Consumer, pdk: Pdk): PdkCall[] {
  const who = {
    id: consumer.id,
    ...(consumer.username !== undefined && { username: consumer.username }),
    ...(consumer.customId !== undefined && { custom_id: consumer.customId }),
  };
  const credential = { id: session.credentialId ?? consumer.id, consumer_id: consumer.id };
  if (!pdk.identityByContext) return [['kong.client.authenticate', who, credential]];
  return [
    ['kong.nginx.set_ctx', 'authenticated_consumer', who],
    ['kong.nginx.set_ctx', 'authenticated_credential', credential],
  ];
}
