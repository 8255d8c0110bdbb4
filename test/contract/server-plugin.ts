import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { HostedPlugin } from '../../lib/server/host.ts';
import type { Instance, Pdk, PdkCall } from '../../lib/pdk.ts';

/** What the handler of an instance does, chosen by `behaviour` in its configuration. */
const BEHAVIOURS: Record<string, (pdk: Pdk, config: Record<string, unknown>) => Promise<void>> = {
  pass: (pdk) => pdk.act([]),
  echo: async (pdk, { label }) => {
    const [cookie] = await pdk.read([
      ['kong.nginx.get_var', 'http_cookie'],
      ['kong.client.get_ip'],
    ]);
    const header: PdkCall = ['kong.response.set_header', 'X-Echo', String(cookie)];
    await pdk.act(label === undefined ? [header] : [header, ['kong.log.notice', label as string]]);
  },
  keys: async (pdk) => {
    const [map] = await pdk.read([['kong.request.get_query']]);
    const isPolluted = isDeepStrictEqual(({} as Record<string, unknown>)['polluted'], true);
    await pdk.act([['kong.log.notice', Object.keys(map as object).join(), String(isPolluted)]]);
  },
  exit: (pdk) => pdk.act([['kong.response.exit', 401, '', { 'X-Why': ['a', 'b'] }]]),
  slow: async (pdk) => {
    await delay(300);
    await pdk.act([['kong.log.notice', 'slow']]);
  },
  hang: () => new Promise(() => undefined),
  silent: () => Promise.resolve(),
  throw: async (pdk) => {
    await pdk.read([['kong.client.get_ip']]);
    throw new Error('a defect');
  },
  'throw-at-once': () => {
    throw new Error('a defect');
  },
  nil: async (pdk) => {
    await pdk.act([['kong.log.err', undefined as unknown as string, 'after']]);
  },
  'exit-first': (pdk) =>
    pdk.act([
      ['kong.response.exit', 200],
      ['kong.log.err', 'behind'],
    ]),
  'exit-as-read': async (pdk) => {
    await pdk.read([['kong.response.exit', 200]]);
  },
  'exit-while-asking': async (pdk) => {
    const questions: PdkCall[] = [['kong.nginx.get_var', 'http_cookie'], ['kong.client.get_ip']];
    pdk.read(questions).catch(() => undefined);
    await pdk.act([['kong.response.exit', 503, '', {}]]);
  },
  'pass-while-asking': async (pdk) => {
    pdk.read([['kong.client.get_ip']]).catch(() => undefined);
    await pdk.act([]);
  },
  'act-twice': async (pdk) => {
    await pdk.act([]);
    await pdk.act([]);
  },
  'reject-later': async (pdk) => {
    await pdk.act([]);
    void delay(10).then(() => Promise.reject(new Error('nobody listens')));
  },
  'throw-later': async (pdk) => {
    await pdk.act([]);
    setTimeout(() => {
      throw new Error('nobody listens');
    }, 10);
  },
};

/** A small real plugin for the tests of the server. Counts what happened to it. */
export function createTestPlugin() {
  const counts = { created: 0, closed: 0 };
  const plugin: HostedPlugin = {
    name: 'test-plugin',
    version: '1.2.3',
    priority: 1005,
    phases: ['access'],
    schema: { name: 'test-plugin', fields: [{ config: { type: 'record', fields: [] } }] },
    create(config): Instance {
      counts.created += 1;
      const { behaviour } = config as { behaviour?: unknown };
      const handler = BEHAVIOURS[String(behaviour)];
      if (!handler) throw new Error('config.behaviour: name a known one (größer ist nicht besser)');
      return { access: (pdk) => handler(pdk, config as Record<string, unknown>) };
    },
    close() {
      counts.closed += 1;
      return Promise.resolve();
    },
  };
  return { plugin, counts };
}
