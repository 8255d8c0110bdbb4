import type { LuaTable, LuaValue } from './lua.ts';

/** A response that ends the access phase: kong.response.exit, with its arguments checked. */
export class Exit extends Error {
  override readonly name = 'Exit';
  readonly status: number;
  readonly body: string | LuaTable | undefined;
  readonly headers: LuaTable;

  constructor(status: number, body?: string | LuaTable, headers: LuaTable = new Map()) {
    super(`exit ${String(status)}`);
    this.status = status;
    this.body = body;
    this.headers = headers;
  }
}

/** `kong.response.error`: a message in the format the client accepts, JSON by default (tools/http.lua). */
export function errorExit(
  fault: { status: number; message?: string | undefined; headers?: [string, LuaValue][] },
  accept: string | undefined,
  requestId: string,
): Exit {
  const type = responseType(accept);
  const message =
    fault.message ??
    MESSAGES[fault.status] ??
    `The upstream server responded with ${String(fault.status)}`;
  const body = (TEMPLATES[type] ?? '').replace('%m', () => message).replace('%r', requestId);
  const headers = new Map<string, LuaValue>(fault.headers ?? []);
  if (!headers.has('Content-Type')) headers.set('Content-Type', type);
  return new Exit(fault.status, body, headers);
}

export const JSON_TYPE = 'application/json; charset=utf-8';

const HTML = 'text/html; charset=utf-8';
const PLAIN = 'text/plain; charset=utf-8';
const XML = 'application/xml; charset=utf-8';

const TYPES: { [accepted: string]: string } = {
  'text/html': HTML,
  'text/plain': PLAIN,
  'text/*': PLAIN,
  'application/xml': XML,
};

const TEMPLATES: { [type: string]: string } = {
  [JSON_TYPE]: '{\n  "message":"%m",\n  "request_id":"%r"\n}',
  [PLAIN]: '%m\nrequest_id: %r\n',
  [XML]:
    '<?xml version="1.0" encoding="UTF-8"?>\n<error>\n  <message>%m</message>\n' +
    '  <requestid>%r</requestid>\n</error>\n',
  [HTML]:
    '<!doctype html>\n<html>\n  <head>\n    <meta charset="utf-8">\n    <title>Error</title>\n' +
    '  </head>\n  <body>\n    <h1>Error</h1>\n    <p>%m.</p>\n    <p>request_id: %r</p>\n' +
    '  </body>\n</html>\n',
};

function responseType(accept: string | undefined): string {
  let best = { type: JSON_TYPE, quality: 0 };
  for (const range of (accept ?? '').split(',')) {
    const [media = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    if (!/^[^/\s]+\/[^/\s]+$/.test(media)) continue;
    const weight = parameters.find((parameter) => parameter.startsWith('q='));
    const quality = weight === undefined ? 1 : Number(weight.slice(2));
    if (quality > best.quality) best = { type: TYPES[media] ?? JSON_TYPE, quality };
  }
  return best.type;
}

/** pdk/response.lua and error_handlers.lua. */
const MESSAGES: { [status: number]: string } = {
  400: 'Bad request',
  401: 'Unauthorized',
  402: 'Payment required',
  403: 'Forbidden',
  404: 'Not found',
  405: 'Method not allowed',
  408: 'Request timeout',
  409: 'Conflict',
  410: 'Gone',
  411: 'Length required',
  412: 'Precondition failed',
  413: 'Payload too large',
  414: 'URI too long',
  417: 'Expectation failed',
  418: "I'm a teapot",
  426: 'Upgrade required',
  429: 'Too many requests',
  500: 'An unexpected error occurred',
  502: 'An invalid response was received from the upstream server',
  503: 'The upstream server is currently unavailable',
  504: 'The upstream server is timing out',
};

/** What nginx itself answers to an exit without a body; [] where it has no page. */
export const NGINX_TITLES: { [status: number]: string } = {
  301: '301 Moved Permanently',
  302: '302 Found',
  303: '303 See Other',
  307: '307 Temporary Redirect',
  308: '308 Permanent Redirect',
  401: '401 Authorization Required',
  402: '402 Payment Required',
  403: '403 Forbidden',
  406: '406 Not Acceptable',
  409: '409 Conflict',
  410: '410 Gone',
  415: '415 Unsupported Media Type',
  416: '416 Requested Range Not Satisfiable',
  421: '421 Misdirected Request',
  429: '429 Too Many Requests',
  501: '501 Not Implemented',
  505: '505 HTTP Version Not Supported',
  507: '507 Insufficient Storage',
};

/** The statuses that Kong's nginx.conf hands to kong_error_handler where there is no body. */
export const HANDLED_STATUSES: ReadonlySet<number> = new Set([
  400, 404, 405, 408, 411, 412, 413, 414, 417, 494, 500, 502, 503, 504,
]);
