import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';

import type { RecordedBody, RecordedRequest } from './trace.ts';

export interface Answer {
  readonly status: number;
  readonly headers: [string, string][];
  readonly body: Buffer;
  readonly websocketEcho?: string;
}

/** The body of a recorded request; long ones are recorded by their head and filled with its last letter. */
export function requestBody(recorded: RecordedBody | undefined): Buffer {
  if (recorded === undefined) return Buffer.alloc(0);
  if (typeof recorded === 'string') return Buffer.from(recorded, 'utf8');
  const { len, head = '' } = recorded;
  const end = head.startsWith('{') ? '"}' : '';
  return Buffer.from(head + (head.at(-1) ?? '').repeat(len - head.length - end.length) + end);
}

/** Sends the recorded lines byte for byte over a connection of its own. */
export async function sendLines(
  port: number,
  request: RecordedRequest,
  body: Buffer,
): Promise<Answer> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  const [line = ''] = request.lines ?? [];
  socket.write(`${(request.lines ?? []).join('\r\n')}\r\n\r\n`, 'latin1');
  socket.write(body);
  let received = Buffer.alloc(0);
  let upgraded: Answer | undefined;
  try {
    for await (const chunk of socket) {
      if (upgraded !== undefined) return { ...upgraded, websocketEcho: payload(chunk as Buffer) };
      received = Buffer.concat([received, chunk as Buffer]);
      const answer = parseAnswer(received, line.startsWith('HEAD '));
      if (answer?.status === 101) {
        upgraded = answer;
        socket.write(PING);
      } else if (answer !== undefined) return answer;
    }
  } finally {
    socket.destroy();
  }
  throw new Error(`the connection ended after ${JSON.stringify(received.toString('latin1'))}`);
}

/** The text frame `ping`, masked with zeros (RFC 6455 §5.2). */
const PING = Buffer.concat([Buffer.of(0x81, 0x84, 0, 0, 0, 0), Buffer.from('ping')]);

const payload = (frame: Buffer): string => frame.subarray(2).toString('latin1');

/** undefined while the response is not whole. */
function parseAnswer(received: Buffer, isHead: boolean): Answer | undefined {
  const end = received.indexOf('\r\n\r\n');
  if (end === -1) return undefined;
  const [statusLine = '', ...lines] = received.subarray(0, end).toString('latin1').split('\r\n');
  const headers = lines.map((line): [string, string] => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon), line.slice(colon + 1).trim()];
  });
  const status = Number(statusLine.split(' ')[1]);
  const length = headers.find(([name]) => name.toLowerCase() === 'content-length')?.[1];
  const hasBody = !isHead && status !== 101 && status !== 204;
  const body = received.subarray(end + 4);
  if (hasBody && body.length < Number(length ?? 0)) return undefined;
  return { status, headers, body };
}

export async function sendHttp2(
  port: number,
  request: RecordedRequest,
  body: Buffer,
): Promise<Answer> {
  const session = connectHttp2(`https://127.0.0.1:${String(port)}`, { rejectUnauthorized: false });
  try {
    const fields = Object.entries(request.http2 ?? {});
    const stream = session.request(
      Object.fromEntries(
        fields.map(([name, value]) => [name, typeof value === 'string' ? value : [...value]]),
      ),
      { endStream: body.length === 0 },
    );
    if (body.length > 0) stream.end(body);
    const raw = await new Promise<string[]>((resolve, reject) => {
      stream.on('error', reject);
      // @types/node leaves out the third argument, the headers as they came.
      stream.on('response', (...[, , lines]: unknown[]) => resolve(lines as string[]));
    });
    const all = raw.flatMap((name, i): [string, string][] =>
      i % 2 ? [] : [[name, raw[i + 1] ?? '']],
    );
    const chunks = (await stream.toArray()) as Buffer[];
    const status = Number(all.find(([name]) => name === ':status')?.[1]);
    const headers = all.filter(([name]) => !name.startsWith(':'));
    return { status, headers, body: Buffer.concat(chunks) };
  } finally {
    session.destroy();
  }
}
