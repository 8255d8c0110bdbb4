import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';

import type { Json } from '../../support/gateway/entities.ts';
import { TRACES } from '../../support/traces.ts';
import type { Ports } from './compare.ts';
import { member } from './trace.ts';

/** What the dump of the recorded plugin server was, by its schema as the Admin API showed it. */
export function recordedPlugin(): Json {
  const file = new URL('admin-api/schema.json', TRACES);
  const [shown] = JSON.parse(readFileSync(file, 'utf8')) as { response: { body: Json } }[];
  const schema = { name: 'session-guard', fields: member(shown?.response.body, 'fields') ?? [] };
  const info = { Name: 'session-guard', Version: '0.0.1', Priority: 1005, Phases: ['access'] };
  return { ...info, Schema: schema };
}

/** A header of the upstream request with the recorded ports in place of this run's. */
export function recordedPorts(ports: Ports): (name: string, value: string) => string {
  const here: { readonly [value: string]: string } = {
    [`127.0.0.1:${String(ports.upstream)}`]: '127.0.0.1:9000',
    [String(ports.proxy)]: '8000',
    [String(ports.secure)]: '8443',
  };
  return (_, value) => here[value] ?? value;
}

/** A port that nobody listens on. */
export async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
