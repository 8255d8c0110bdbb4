import type { Config } from './config.ts';
import type { Consumer } from './consumers.ts';
import type { Pdk, PdkCall } from './pdk.ts';
import type { Request, RequestBody, RequestLine, Trait, Traits } from './request.ts';

/** A frozen call is encoded once (lib/server/protobuf-calls.ts). */
const constant = (...parts: PdkCall): PdkCall => Object.freeze(parts);

const CREDENTIAL = constant('kong.client.get_credential');
const CONSUMER = constant('kong.client.get_consumer');
/**
 * Several Cookie lines and HTTP/2 crumbs arrive joined. `get_header` would fall back to the first line when a value
 * contains ", " (kong-protocol.md C.1).
 */
const COOKIE = constant('kong.nginx.get_var', 'http_cookie');
const REQUEST_LINE = constant('kong.nginx.get_var', 'request');
const GROUPS = constant('kong.nginx.get_ctx', 'authenticated_groups');

/** Kong's own buffer for bodies (client_body_buffer_size); over MessagePack a larger one would be a 500. */
const MAX_BODY = 8192;

const header = (name: string): PdkCall => constant('kong.request.get_header', name);

const TRAITS: Record<Trait, PdkCall> = {
  ip: constant('kong.client.get_forwarded_ip'),
  scheme: constant('kong.request.get_forwarded_scheme'),
  'user-agent': header('user-agent'),
};

/**
 * Reads a request: what is always needed at once, the rest when the guard asks for it. Never whole maps of
 * headers or arguments: a client can crash or mislead a plugin server through their keys (kong-protocol.md F1, F2).
 */
export async function readRequest(pdk: Pdk, { bind, idleExempt }: Config): Promise<Request> {
  const request = new KongRequest(pdk);
  // Where a batch is one round trip, all that a session may need goes into the first.
  const foreseen = pdk.pipelined
    ? [CONSUMER, REQUEST_LINE, ...bind.map((trait) => TRAITS[trait]), ...exemptCalls(idleExempt)]
    : [];
  await request.read([CREDENTIAL, COOKIE, ...foreseen]);
  return request;
}

const exemptCalls = ({ header: name }: Config['idleExempt']): PdkCall[] =>
  name === undefined ? [] : [header(name)];

class KongRequest implements Request {
  readonly #pdk: Pdk;
  /** Answers by call: nothing is asked twice. */
  readonly #answers = new Map<string, unknown>();

  constructor(pdk: Pdk) {
    this.#pdk = pdk;
  }

  get cookies(): string {
    return text(this.#answers.get(nameOf(COOKIE))) ?? '';
  }

  get credential(): { id?: string } | undefined {
    return credentialOf(this.#answers.get(nameOf(CREDENTIAL)));
  }

  async consumer(): Promise<Consumer | undefined> {
    return consumerOf(await this.#ask(CONSUMER));
  }

  async line(): Promise<RequestLine> {
    return parseLine(await this.#ask(REQUEST_LINE));
  }

  /** Chunked bodies have no length to go by and are left alone. */
  async body(): Promise<RequestBody | undefined> {
    const [type, length] = await this.read([header('content-type'), header('content-length')]);
    const size = Number(text(length) ?? 0);
    if (!(size > 0 && size <= MAX_BODY)) return undefined;
    // 0: read back also what a smaller client_body_buffer_size has spilled into a file (Kong ≥ 3.9).
    const body = await this.#ask(['kong.request.get_raw_body', 0]);
    if (!(body instanceof Uint8Array)) return undefined;
    return { type: text(type) ?? '', bytes: body };
  }

  async traits(wanted: readonly Trait[]): Promise<Traits> {
    const answers = await this.read(wanted.map((trait) => TRAITS[trait]));
    const traits = wanted.map((trait, index) => [trait, text(answers[index])] as const);
    return Object.fromEntries(traits.filter(([, value]) => value !== undefined));
  }

  async hasHeader(name: string): Promise<boolean> {
    return text(await this.#ask(header(name))) !== undefined;
  }

  async groups(): Promise<readonly string[] | undefined> {
    const groups = await this.#ask(GROUPS);
    if (!Array.isArray(groups) || groups.length === 0) return undefined;
    return groups.every((group) => typeof group === 'string') ? groups : undefined;
  }

  /** Asked anew each time: the first answer may have been a failure. */
  async loadConsumer(id: string): Promise<Consumer | undefined> {
    const [answer] = await this.#pdk.read([['kong.client.load_consumer', id]]);
    return consumerOf(answer);
  }

  /** The answers to the calls, those not known yet asked for in one batch. */
  async read(calls: readonly PdkCall[]): Promise<unknown[]> {
    const missing = calls.filter((call) => !this.#answers.has(nameOf(call)));
    if (missing.length > 0) {
      const answers = await this.#pdk.read(missing);
      missing.forEach((call, index) => this.#answers.set(nameOf(call), answers[index]));
    }
    return calls.map((call) => this.#answers.get(nameOf(call)));
  }

  async #ask(call: PdkCall): Promise<unknown> {
    return (await this.read([call]))[0];
  }
}

const nameOf = ([method, argument]: PdkCall): string =>
  argument === undefined ? method : `${method} ${argument as string}`;

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
  if (mark === -1) return { method, path: beforeFragment, query: '' };
  return { method, path: beforeFragment.slice(0, mark), query: beforeFragment.slice(mark + 1) };
}
