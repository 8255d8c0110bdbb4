import { readFile } from 'node:fs/promises';
import { startGateway } from '../test/support/gateway/index.ts';
import type { PluginServerDefinition } from '../test/support/gateway/index.ts';
import type { Conversation } from '../test/support/gateway/recorder.ts';

/*
 * The stand-in for Kong as a process of its own, so that its CPU time is its own: one worker with our nginx include, as
 * in the image, and the plugin server that its argument describes in JSON. It ends when its parent does.
 */

/** The first message to the parent. */
export interface Ready {
  readonly adminUrl: string;
  readonly proxyUrl: string;
  readonly serverPid: number;
}

/** The answer to every message, which is an X-Kong-Request-Id: what Kong and the plugin server said for it. */
export interface Told {
  readonly conversation: Conversation | undefined;
}

const server = JSON.parse(process.argv[2] ?? '{}') as PluginServerDefinition;
const http = await readFile(new URL('../nginx/session-guard-http.conf', import.meta.url), 'utf8');
const gateway = await startGateway({ server, nginxInclude: { http } });
const { adminUrl, proxyUrl } = gateway;
const tell = (message: Ready | Told): void => void process.send?.(message);

process.on('message', (id: string) => tell({ conversation: gateway.conversations.get(id) }));
process.on('disconnect', () => void gateway.stop().then(() => process.exit()));
tell({ adminUrl, proxyUrl, serverPid: gateway.serverPid() ?? 0 });
