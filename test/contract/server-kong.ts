import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { decodeMultiStream, encode } from '@msgpack/msgpack';

export interface Answer {
  readonly error: unknown;
  readonly result: unknown;
}

export interface StepData {
  readonly EventId: unknown;
  readonly Data: unknown;
}

export interface Call {
  readonly Method: string;
  readonly Args: unknown[];
}

export const isCall = (data: unknown): data is Call =>
  typeof data === 'object' && data !== null && 'Method' in data;

/** Kong's side of one connection, by another implementation of MessagePack than the server's. */
export class KongConnection {
  readonly socket: Socket;
  readonly #messages: AsyncGenerator;
  #id = 0;

  private constructor(socket: Socket) {
    this.socket = socket;
    // The reader of the stream reports errors; without a listener they would end the tests.
    socket.on('error', () => undefined);
    this.#messages = decodeMultiStream(socket as AsyncIterable<Uint8Array>);
  }

  static async open(path: string): Promise<KongConnection> {
    const socket = connect(path);
    await once(socket, 'connect');
    return new KongConnection(socket);
  }

  encode(method: string, argument: unknown): Uint8Array {
    this.#id += 1;
    return encode([0, this.#id, method, [argument]], { ignoreUndefined: true });
  }

  /** Resolves with the next answer, notifications overlooked; rejects when the server closes the connection instead. */
  async answer(): Promise<Answer> {
    const { value, done } = await this.#messages.next();
    if (done) throw new Error('closed');
    const [type, , error, result] = value as unknown[];
    if (type === 2) return this.answer();
    if (type !== 1) throw new Error('not an answer');
    return { error, result };
  }

  call(method: string, argument: unknown): Promise<Answer> {
    this.socket.write(this.encode(method, argument));
    return this.answer();
  }

  async start(config: object, name = 'test-plugin'): Promise<string> {
    const { error, result } = await this.call('plugin.StartInstance', {
      Name: name,
      Config: JSON.stringify(config),
    });
    if (error !== null) throw new Error(error as string);
    return (result as { Id: string }).Id;
  }

  handle(InstanceId: unknown): Promise<Answer> {
    return this.call('plugin.HandleEvent', { InstanceId, EventName: 'access' });
  }

  step({ EventId }: StepData, Data: unknown, method = 'plugin.Step'): Promise<Answer> {
    return this.call(method, { EventId, Data });
  }

  /**
   * Runs a request to its end as Kong would, and returns its PDK calls. `results` answers them by
   * name.
   */
  async request(InstanceId: unknown, results: Record<string, unknown> = {}): Promise<Call[]> {
    const calls: Call[] = [];
    let { error, result } = await this.handle(InstanceId);
    for (;;) {
      if (error !== null) throw new Error(`the server answered ${JSON.stringify(error)}`);
      const step = result as StepData;
      if (!isCall(step.Data)) return calls;
      calls.push(step.Data);
      if (step.Data.Method === 'kong.response.exit') return calls;
      ({ error, result } = await this.step(step, results[step.Data.Method]));
    }
  }

  async close(): Promise<void> {
    if (this.socket.closed) return;
    this.socket.destroy();
    await once(this.socket, 'close');
  }
}
