import type { IncomingHttpHeaders } from 'node:http';
import { request } from 'node:https';
import { text } from 'node:stream/consumers';

export interface LoopbackRequest {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface LoopbackResponse {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/**
 * An HTTPS request to this machine whatever the URL's host: Node's resolver does not know the names under localhost
 * that browsers and curl take for loopback (RFC 6761 §6.3). The certificate is the demo's own and not checked.
 */
export function askLoopback(url: string, options: LoopbackRequest = {}): Promise<LoopbackResponse> {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, {
      ...options,
      agent: false,
      rejectUnauthorized: false,
      lookup: (_host, lookupOptions, callback) => {
        if (lookupOptions.all === true) callback(null, [{ address: '127.0.0.1', family: 4 }]);
        else callback(null, '127.0.0.1', 4);
      },
    });
    outgoing.once('error', reject).once('response', (incoming) => {
      const { statusCode: status = 0, headers } = incoming;
      text(incoming).then((body) => resolve({ status, headers, body }), reject);
    });
    outgoing.end();
  });
}
