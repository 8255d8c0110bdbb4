import type { Exchange } from '../exchange.ts';
import { Exit } from '../exit.ts';
import { type Config, type Plugin, strings } from './plugin.ts';

const METHODS = 'GET,HEAD,PUT,PATCH,POST,DELETE,OPTIONS,TRACE,CONNECT';

/** kong/plugins/cors/handler.lua without regular expressions among the origins. */
export const cors: Plugin = {
  name: 'cors',
  priority: 2000,
  access(exchange, config) {
    if (!isPreflight(exchange) || config['preflight_continue'] === true) return;
    allowOrigin(exchange, config);
    const { responseHeaders } = exchange;
    const asked = exchange.header('access-control-request-headers');
    const headers = strings(config['headers']).join(',') || asked;
    if (headers !== undefined) responseHeaders.set('Access-Control-Allow-Headers', [headers]);
    const methods = strings(config['methods']).join(',') || METHODS;
    responseHeaders.set('Access-Control-Allow-Methods', [methods]);
    const maxAge = config['max_age'];
    if (typeof maxAge === 'number') responseHeaders.set('Access-Control-Max-Age', [String(maxAge)]);
    throw new Exit(200);
  },
  headerFilter(exchange, config) {
    if (isPreflight(exchange)) return;
    allowOrigin(exchange, config);
    const exposed = strings(config['exposed_headers']).join(',');
    if (exposed !== '') exchange.responseHeaders.set('Access-Control-Expose-Headers', [exposed]);
  },
};

const isPreflight = ({ incoming, headers }: Exchange): boolean =>
  incoming.method === 'OPTIONS' &&
  headers.has('origin') &&
  headers.has('access-control-request-method');

function allowOrigin(exchange: Exchange, config: Config): void {
  const { responseHeaders } = exchange;
  const allowed = strings(config['origins']);
  const origin = exchange.header('origin');
  const isOpen = allowed.length === 0 || allowed.includes('*');
  const credentials = config['credentials'] === true;
  if (isOpen && !(credentials && origin !== undefined)) {
    responseHeaders.set('Access-Control-Allow-Origin', ['*']);
    return;
  }
  responseHeaders.set('vary', ['Origin']);
  const only = allowed.length === 1 && !isOpen ? allowed[0] : undefined;
  const matching =
    isOpen || (origin !== undefined && allowed.includes(origin)) ? origin : undefined;
  const answer = only ?? matching;
  if (answer !== undefined) responseHeaders.set('Access-Control-Allow-Origin', [answer]);
  if (credentials) responseHeaders.set('Access-Control-Allow-Credentials', ['true']);
}
