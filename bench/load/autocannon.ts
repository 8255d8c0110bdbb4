import { readFileSync } from 'node:fs';
import autocannon from 'autocannon';

/**
 * What wrk.lua does, where there is no wrk: `autocannon.ts URL SECONDS CONNECTIONS FILE HOST [KEY]`. Prints
 * one line of JSON, times in microseconds.
 */
const [url = '', seconds, connections, file = '', host = '', key] = process.argv.slice(2);
const requests = readFileSync(file, 'utf8')
  .split('\n')
  .slice(0, -1)
  .map((cookie) => ({
    method: 'GET' as const,
    path: '/',
    headers: { host, ...(cookie !== '' && { cookie }), ...(key !== undefined && { apikey: key }) },
  }));

/** Each connection has a ring of its own in autocannon: this one is common to all, so that each line comes in turn. */
let at = 0;
const next = () => requests[at++ % requests.length] ?? {};

const result = await autocannon({
  url,
  duration: Number(seconds),
  connections: Number(connections),
  requests: [{ setupRequest: (request) => ({ ...request, ...next() }) }],
});
const { latency, errors, timeouts, non2xx, duration } = result;
console.log(
  JSON.stringify({
    requests: result.requests.total,
    elapsed: duration * 1e6,
    failed: errors + timeouts + non2xx,
    p50: latency.p50 * 1000,
    p99: latency.p99 * 1000,
  }),
);
