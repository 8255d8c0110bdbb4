import { SILENCE } from './anonymous.ts';
import { CONSUMER_HEADERS, speaks } from './clearing.ts';
import type { Consumer } from './consumers.ts';
import type { Pdk, PdkCall } from './pdk.ts';
import {
  AGE,
  CONSUMER,
  COOKIE,
  CREDENTIAL,
  GROUPS,
  header,
  HEADERS,
  MAX_LINES,
  REQUEST_LINE,
  TRAITS,
  TURN,
  VIEW,
} from './reads.ts';
import type { Request, RequestBody, RequestLine, Trait, Traits } from './request.ts';
import { parseRequestLine } from './request-line.ts';

/** Kong's own buffer for bodies (client_body_buffer_size); over MessagePack a larger one would be a 500. */
const MAX_BODY = 8192;

/** The best of our nginx variables that a Kong has. */
export type Variable = 'turn' | 'view' | 'none';

type HeaderMap = Readonly<Record<string, string | readonly string[]>>;

/** What Kong's auth plugins may have set. */
const SPOKEN_BY_KONG = CONSUMER_HEADERS.map((name) => name.toLowerCase());

/** What Kong has said of a request, and what it says when it is asked for more. */
export class KongRequest implements Request {
  readonly #pdk: Pdk;
  /** Answers by call: nothing is asked twice. */
  readonly #answers = new Map<PdkCall, unknown>();
  /** Where they are known, all of them. */
  #headers: HeaderMap | undefined;
  #spoken: readonly string[] | undefined;
  #cookies: string | undefined;
  #variable: Variable = 'none';
  #said: string | undefined;
  #line: string | undefined;
  #isUnclaimed = false;

  constructor(pdk: Pdk) {
    this.#pdk = pdk;
  }

  /** Whether what is always needed is known. */
  get isRead(): boolean {
    return this.#cookies !== undefined;
  }

  /** Of ours that Kong answered with. */
  get variable(): Variable {
    return this.#variable;
  }

  get knowsCredential(): boolean {
    return this.#answers.has(CREDENTIAL);
  }

  /** Of it by the headers that only Kong and we may use, where the variable has them. */
  get said(): string | undefined {
    return this.#said;
  }

  /** What is said is Kong's own, in these headers: an auth plugin let the request pass as anonymous. */
  believe(headers: readonly string[]): void {
    if (!this.knowsCredential) this.#answers.set(CREDENTIAL, undefined);
    this.#isUnclaimed = true;
    this.#spoken = headers;
  }

  get cookies(): string {
    return this.#cookies ?? '';
  }

  get isUnclaimed(): boolean {
    return this.#isUnclaimed;
  }

  get spoken(): readonly string[] | undefined {
    return this.#spoken;
  }

  get credential(): { id?: string } | undefined {
    return credentialOf(this.#answers.get(CREDENTIAL));
  }

  async consumer(): Promise<Consumer | undefined> {
    return consumerOf(await this.#ask(CONSUMER));
  }

  get method(): string | undefined {
    const line = this.#line ?? text(this.#answers.get(REQUEST_LINE));
    return line?.slice(0, line.indexOf(' '));
  }

  async line(): Promise<RequestLine> {
    return parseRequestLine(this.#line ?? text(await this.#ask(REQUEST_LINE)) ?? '');
  }

  /** Chunked bodies have no length to go by and are left alone. */
  async body(): Promise<RequestBody | undefined> {
    const type = (await this.#header('content-type')) ?? '';
    const size = Number((await this.#header('content-length')) ?? 0);
    if (!(size > 0 && size <= MAX_BODY)) return undefined;
    // 0: over MessagePack Kong ≥ 3.9 reads back also what a smaller client_body_buffer_size has spilled into a file.
    // ProtoBuf's GetRawBody takes no argument and answers with the file's name: such a body is none
    // (kong/include/kong/pluginsocket.proto).
    const [body] = await this.#pdk.read([['kong.request.get_raw_body', 0]]);
    return body instanceof Uint8Array ? { type, bytes: body } : undefined;
  }

  async traits(wanted: readonly Trait[]): Promise<Traits> {
    await this.#askAll(wanted.flatMap((trait) => (trait === 'user-agent' ? [] : [TRAITS[trait]])));
    const traits: { [T in Trait]?: string } = {};
    for (const trait of wanted) {
      const value =
        trait === 'user-agent' ? await this.#header(trait) : text(this.#answers.get(TRAITS[trait]));
      if (value !== undefined) traits[trait] = value;
    }
    return traits;
  }

  async hasHeader(name: string): Promise<boolean> {
    const headers = this.#headers ?? (await this.#everyHeader());
    if (headers) return Object.hasOwn(headers, name.toLowerCase());
    return typeof (await this.#ask(header(name))) === 'string';
  }

  /** In ProtoBuf's answer about one header an empty one looks like none; in that about all it has its name. */
  async #everyHeader(): Promise<HeaderMap | undefined> {
    if (!this.#pdk.pipelined) return undefined;
    const [answer] = await this.#pdk.read([HEADERS]);
    return headersIn(answer);
  }

  async groups(): Promise<readonly string[] | undefined> {
    const groups = await this.#ask(GROUPS);
    if (!Array.isArray(groups) || groups.length === 0) return undefined;
    return groups.every((group) => typeof group === 'string') ? groups : undefined;
  }

  /** Never the first answer once more: it grows. */
  async age(): Promise<number> {
    const [answer] = await this.#pdk.read([AGE]);
    const seconds = Number(text(answer));
    return seconds > 0 ? seconds * 1000 : 0;
  }

  /** Asked anew each time: the first answer may have been a failure. */
  async loadConsumer(id: string): Promise<Consumer | undefined> {
    const [answer] = await this.#pdk.read([['kong.client.load_consumer', id]]);
    return consumerOf(answer);
  }

  /** Asks for these in one batch. */
  async read(calls: readonly PdkCall[]): Promise<void> {
    this.take(calls, await this.#pdk.read(calls));
  }

  /** Learns what Kong answered to these. */
  take(calls: readonly PdkCall[], answers: readonly unknown[]): void {
    for (let index = 0; index < calls.length; index++) {
      const call = calls[index]!;
      const answer = checked(call, answers[index]);
      // It is taken apart at once, and nobody asks for it again.
      if (call === TURN) {
        this.#see('turn', text(answer));
        continue;
      }
      this.#answers.set(call, answer);
      if (call === COOKIE) this.#cookies = text(answer) ?? '';
      else if (call === VIEW && this.#variable === 'none') this.#see('view', text(answer));
      else if (call === HEADERS) this.#know(answer);
    }
  }

  async #ask(call: PdkCall): Promise<unknown> {
    await this.#askAll([call]);
    return this.#answers.get(call);
  }

  async #askAll(calls: readonly PdkCall[]): Promise<void> {
    const missing = calls.filter((call) => !this.#answers.has(call));
    if (missing.length > 0) await this.read(missing);
  }

  /** The first line of a header. */
  async #header(name: string): Promise<string | undefined> {
    if (this.#headers === undefined) return text(await this.#ask(header(name)));
    const value = this.#headers[name.toLowerCase()];
    return text(typeof value === 'string' ? value : value?.[0]);
  }

  #know(answer: unknown): void {
    const headers = headersIn(answer);
    if (headers === undefined) return;
    this.#headers = headers;
    this.#spoken = Object.keys(headers).filter(speaks);
    const cookie = headers['cookie'] ?? '';
    this.#cookies ??= typeof cookie === 'string' ? cookie : cookie.join('; ');
  }

  /** See nginx/session-guard.conf and nginx/session-guard-http.conf. */
  #see(variable: Variable, view: string | undefined): void {
    const [line = '', said, cookies, ...more] = view?.split('\n') ?? [];
    const isTurn = variable === 'turn';
    if (cookies === undefined || more.length > 0 || !line.startsWith(isTurn ? '2 ' : '1 ')) return;
    this.#variable = variable;
    this.#line = line.slice(2);
    this.#cookies = cookies;
    if (isTurn) this.#said = said;
    // A client that claims something is believed to claim everything.
    this.#isUnclaimed = said === (isTurn ? SILENCE : '');
    this.#spoken = this.#isUnclaimed ? SPOKEN_BY_KONG : undefined;
  }
}

/**
 * Who signs in and what the cookies are is not guessed: an answer of a kind that Kong never gives fails the request.
 * @throws TypeError which names the call and the kind of answer, not the answer
 */
function checked(call: PdkCall, answer: unknown): unknown {
  if (answer === undefined || answer === null) return answer;
  const [method] = call;
  if (call === CREDENTIAL && !isTable(answer)) throw unexpected(method, answer);
  if (method === 'kong.nginx.get_var' && typeof answer !== 'string')
    throw unexpected(method, answer);
  return answer;
}

/** An empty Lua table may arrive as an empty list. */
const isTable = (answer: unknown): boolean =>
  typeof answer === 'object' &&
  !(answer instanceof Uint8Array) &&
  !(Array.isArray(answer) && answer.length > 0);

const unexpected = (method: string, answer: unknown): TypeError =>
  new TypeError(`${method} answered with a ${typeof answer}, which it never does`);

/**
 * All headers; `undefined` where there are more than Kong hands out.
 * @throws TypeError where a header is neither a line nor several
 */
function headersIn(answer: unknown): HeaderMap | undefined {
  if (typeof answer !== 'object' || answer === null) return undefined;
  const headers = answer as HeaderMap;
  let lines = 0;
  for (const name in headers) {
    const value: unknown = headers[name];
    if (Array.isArray(value)) lines += value.length;
    else if (value === undefined || typeof value === 'string') lines += 1;
    else throw unexpected('kong.request.get_headers', value);
  }
  return lines < MAX_LINES ? headers : undefined;
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
