import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { createLog } from '../../../lib/log.ts';
import type { LogLevel } from '../../../lib/log.ts';
import { Host } from '../../../lib/server/host.ts';
import { Listener } from '../../../lib/server/listener.ts';
import { MsgpackTransport } from '../../../lib/server/msgpack.ts';
import { ProtobufTransport } from '../../../lib/server/protobuf.ts';
import { createTestPlugin } from '../../contract/server-plugin.ts';

/** A path for a socket, in a directory that goes when the test ends. */
export function socketPath(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'server-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return join(dir, `${randomBytes(3).toString('hex')}.socket`);
}

/** A real log whose lines are kept. */
export function memoryLog(level: LogLevel = 'debug') {
  const lines: string[] = [];
  const log = createLog(level, { write: (line: string) => void lines.push(line) });
  const events = () => lines.map((line) => (JSON.parse(line) as { event?: string }).event);
  return { log, lines, events };
}

/** A server with the tests' plugin in this process, with what it keeps in reach. */
export async function listen(t: TestContext, deadline = 5000) {
  const { plugin, counts } = createTestPlugin();
  const { log, lines, events } = memoryLog();
  const host = new Host({ plugin, log, deadline });
  const transport = new MsgpackTransport(host);
  const listener = new Listener([transport, new ProtobufTransport(host)], log, () => undefined);
  const path = socketPath(t);
  await listener.listen(path);
  t.after(async () => {
    listener.stopAccepting();
    listener.hasten();
    await listener.endConnections(0);
  });
  return { host, listener, transport, path, counts, lines, events };
}
