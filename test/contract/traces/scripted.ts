import { decode, encode } from '@msgpack/msgpack';
import type { Socket } from 'node:net';

import { UnixServer } from './unix-server.ts';

/** The dump of a plugin that a ScriptedServer serves. */
export const PROBE = {
  Name: 'probe',
  Version: '1.0.0',
  Priority: 1005,
  Phases: ['access'],
  Schema: { name: 'probe', fields: [{ config: { type: 'record', fields: [] } }] },
};

/** One request of Kong, and how to answer it. */
export interface Call {
  readonly id: number;
  readonly method: string;
  readonly argument: unknown;
  readonly socket: Socket;
  reply(result: unknown): void;
  fail(error: unknown): void;
}

/** A plugin server that answers as a test says. */
export class ScriptedServer {
  readonly calls: Call[] = [];
  /** Answers events; StartInstance and CloseInstance have their own. */
  onEvent: (call: Call) => void = (call) => call.reply({ Data: 'ret', EventId: 1 });
  onStart: (call: Call) => void = (call) => call.reply({ Name: 'probe', Id: this.#started++ });
  #started = 0;
  #server: UnixServer | undefined;

  static async listen(path: string): Promise<ScriptedServer> {
    const server = new ScriptedServer();
    server.#server = await UnixServer.listen(path, (socket) => server.#serve(socket));
    return server;
  }

  get connections(): number {
    return this.#server?.connections ?? 0;
  }

  methods(): string[] {
    return this.calls.map(({ method }) => method.replace('plugin.', ''));
  }

  /** Ends as a killed process does. */
  async die(): Promise<void> {
    await this.#server?.die();
  }

  async close(): Promise<void> {
    await this.#server?.close();
  }

  #serve(socket: Socket): void {
    socket.on('data', (bytes) => {
      const [, id, method, list] = decode(bytes) as [number, number, string, unknown[]];
      const write = (error: unknown, result: unknown): void => {
        socket.write(encode([1, id, error, result]));
      };
      const call: Call = {
        id,
        method,
        argument: list[0],
        socket,
        reply: (result) => write(null, result),
        fail: (error) => write(error, null),
      };
      this.calls.push(call);
      if (method === 'plugin.StartInstance') this.onStart(call);
      else if (method === 'plugin.CloseInstance') call.reply({});
      else this.onEvent(call);
    });
  }
}
