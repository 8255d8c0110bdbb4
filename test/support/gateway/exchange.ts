import type { Entities, Entity } from './entities.ts';
import { Headers } from './headers.ts';
import type { ErrorLog } from './log.ts';
import type { LuaMap } from './lua.ts';
import type { IncludedVariables, NginxInclude } from './nginx-include.ts';
import { newRequestId } from './request-id.ts';

/** What all requests of a node share. */
export interface Node {
  readonly id: string;
  readonly entities: Entities;
  readonly log: ErrorLog;
  /** Whether a peer's X-Real-IP and X-Forwarded-* headers count (trusted_ips). */
  isTrusted(address: string): boolean;
  readonly include: NginxInclude | undefined;
}

/** A request as it came over the wire; text is bytes (latin1). */
export interface Incoming {
  readonly method: string;
  /** As in the request line: path and query, neither decoded nor normalised. */
  readonly target: string;
  readonly httpVersion: '1.0' | '1.1' | '2.0';
  readonly scheme: 'http' | 'https';
  readonly headers: Headers;
  readonly peer: { readonly address: string; readonly port: number };
  readonly localPort: number;
  readonly tlsProtocol: string | undefined;
  /** Reads the body to its end; called at most once. */
  readBody(): Promise<Buffer>;
  /** Ends the client's connection without an answer. */
  abort(): void;
}

export interface RouteMatch {
  readonly route: Entity;
  readonly service: Entity | undefined;
  /** The path prefix that matched, without the route's rest. */
  readonly prefix: string;
  readonly upstreamPath: string;
}

/** One proxied request: ngx.req, ngx.header, ngx.ctx and kong.ctx.shared of Kong. */
export class Exchange {
  readonly requestId = newRequestId();
  readonly startedAt = Date.now();
  readonly node: Node;
  readonly incoming: Incoming;
  /** Request headers: plugins see and change what the upstream gets. */
  readonly headers: Headers;
  /** Response headers that were set before there is a response. */
  readonly responseHeaders = new Headers();
  readonly ctx: LuaMap = new Map();
  readonly shared: LuaMap = new Map();
  readonly host: string;
  readonly isTrusted: boolean;
  /** The address that counts as the client's: the peer's, or X-Real-IP's of a trusted peer. */
  readonly remoteAddress: string;
  /** Of nginx, made by the include. */
  variables: IncludedVariables | undefined;
  match: RouteMatch | undefined;
  args: string;
  /** Set by a plugin that sets Host, or by preserve_host. */
  upstreamHost: string | undefined;
  proxied = false;
  #body: Promise<Buffer> | undefined;

  constructor(node: Node, incoming: Incoming) {
    this.node = node;
    this.incoming = incoming;
    const { lines } = incoming.headers;
    this.headers = new Headers(node.include?.filter(lines) ?? lines);
    this.host = hostName(incoming.headers.first('host'));
    this.isTrusted = node.isTrusted(incoming.peer.address);
    const realIp = this.isTrusted ? incoming.headers.first('x-real-ip') : undefined;
    this.remoteAddress = realIp ?? incoming.peer.address;
    const [beforeHash = ''] = afterFirst(incoming.target, '?').split('#', 1);
    this.args = beforeHash;
    this.ctx.set('KONG_PROCESSING_START', this.startedAt);
  }

  get rawPath(): string {
    return this.incoming.target.split('?', 1)[0] ?? '';
  }

  body(): Promise<Buffer> {
    this.#body ??= this.incoming.readBody();
    return this.#body;
  }

  /** The header joined as nginx's `$http_…`, in whose names `-` and `_` are the same. */
  headerVariable(name: string): string | undefined {
    let joined: string | undefined;
    for (const [own, value] of this.headers.lines) {
      if (!isSameVariable(own, name)) continue;
      if (joined === undefined) joined = value;
      else joined += (isSameVariable(name, 'cookie') ? '; ' : ', ') + value;
    }
    return joined;
  }

  /** kong.tools.http.get_header: of several lines the first, but all of a header without ", ". */
  header(name: string): string | undefined {
    const joined = this.headerVariable(name);
    return joined?.includes(', ') === true ? this.headers.first(name) : joined;
  }

  /** A header that only a trusted peer may set. */
  trustedHeader(name: string): string | undefined {
    return this.isTrusted ? this.header(name) : undefined;
  }
}

function afterFirst(text: string, separator: string): string {
  const at = text.indexOf(separator);
  return at === -1 ? '' : text.slice(at + separator.length);
}

/** By length first: an include asks for many names that no header has. */
const isSameVariable = (a: string, b: string): boolean =>
  a.length === b.length && variableName(a) === variableName(b);

const variableName = (name: string): string => name.toLowerCase().replaceAll('-', '_');

/** nginx's `$host`: without port, in lower case; `server_name` where the client sent none. */
function hostName(header: string | undefined): string {
  if (header === undefined || header === '') return 'kong';
  return (/^(\[[^\]]*\]|[^:]*)/.exec(header)?.[0] ?? header).toLowerCase();
}
