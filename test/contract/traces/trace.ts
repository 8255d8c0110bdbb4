import { readFileSync, readdirSync } from 'node:fs';
import { basename } from 'node:path';

import type { Json } from '../../support/gateway/entities.ts';

export type Frame = readonly [kind: 0 | 1, messageId: number, methodOrError: Json, payload: Json];

/** One request of Kong and what the plugin server answered; without an answer the server died on it. */
export interface Exchange {
  readonly request: { readonly frame: Frame; readonly size: number; readonly hex?: string };
  readonly reply?: { readonly frame: Frame; readonly hex?: string; readonly afterMs: number };
}

export interface RecordedRequest {
  readonly lines?: readonly string[];
  readonly http2?: { readonly [name: string]: string | readonly string[] };
  readonly body?: RecordedBody;
}

export type RecordedBody =
  string | { readonly len: number; readonly head?: string; readonly sha256?: string };

export interface RecordedResponse {
  readonly status: number;
  readonly headers: readonly [string, string][];
  readonly body: RecordedBody;
  readonly websocketEcho?: string;
  readonly sentAtMs: number;
  readonly doneAtMs: number;
}

export interface RecordedUpstream {
  readonly method: string;
  readonly url: string;
  readonly headers: readonly [string, string][];
  readonly body: RecordedBody;
}

/** A recorded conversation (test/traces/README.md). */
export interface Trace {
  readonly name: string;
  readonly plugins: string;
  readonly config: Json | undefined;
  readonly environment: { readonly [name: string]: string };
  readonly requests: readonly RecordedRequest[];
  readonly responses: readonly RecordedResponse[];
  readonly upstream: readonly RecordedUpstream[];
  readonly kongLog: readonly string[];
  readonly exchanges: readonly Exchange[];
}

interface Metadata {
  readonly plugins: string;
  readonly config?: Json;
  readonly environment?: { [name: string]: string };
  readonly request?: RecordedRequest;
  readonly requests?: RecordedRequest[];
  readonly response?: RecordedResponse;
  readonly responses?: RecordedResponse[];
  readonly upstream: RecordedUpstream | (RecordedUpstream | null)[] | null;
  readonly kongLog?: string[];
}

interface FrameLine {
  readonly dir: 'kong>server' | 'server>kong';
  readonly conn: number;
  readonly ms: number;
  readonly frame: Frame;
  readonly size: number;
  readonly hex?: string;
}

export function loadTraces(folder: URL): Trace[] {
  const files = readdirSync(folder).filter((file) => file.endsWith('.jsonl'));
  if (files.length === 0) throw new Error(`no recordings in ${folder.pathname}`);
  return files
    .toSorted()
    .map((file) => parseTrace(basename(file, '.jsonl'), new URL(file, folder)));
}

function parseTrace(name: string, file: URL): Trace {
  const [first = '', ...rest] = readFileSync(file, 'utf8').trim().split('\n');
  const metadata = JSON.parse(first) as Metadata;
  const lines = rest.map((line) => JSON.parse(line) as FrameLine | { event: string });
  const upstream = Array.isArray(metadata.upstream) ? metadata.upstream : [metadata.upstream];
  return {
    name,
    plugins: metadata.plugins,
    config: metadata.config,
    environment: metadata.environment ?? {},
    requests: metadata.requests ?? (metadata.request ? [metadata.request] : []),
    responses: metadata.responses ?? (metadata.response ? [metadata.response] : []),
    upstream: upstream.filter((request) => request !== null),
    kongLog: metadata.kongLog ?? [],
    exchanges: pairFrames(lines.filter((line) => 'frame' in line)),
  };
}

/** A connection carries one request at a time, so its next frame from the server is the answer. */
function pairFrames(frames: readonly FrameLine[]): Exchange[] {
  return frames
    .filter((frame) => frame.dir === 'kong>server')
    .map((request) => {
      const later = frames.slice(frames.indexOf(request) + 1);
      const reply = later.find(({ conn }) => conn === request.conn);
      if (reply === undefined || reply.dir === 'kong>server') return { request };
      return { request, reply: { ...reply, afterMs: reply.ms - request.ms } };
    });
}

/** A value that is text wherever Kong was recorded. */
export const textOf = (value: Json | undefined): string => (typeof value === 'string' ? value : '');

export const methodOf = (exchange: Exchange): string => textOf(exchange.request.frame[2]);

/** The only argument of a recorded request. */
export function argumentOf(exchange: Exchange): Json {
  const list = exchange.request.frame[3];
  return Array.isArray(list) ? (list[0] ?? null) : null;
}

export function member(value: Json | undefined, key: string): Json | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  return value[key];
}

/** The EventId of an answer, or of the request that carries one. */
export function eventOf(exchange: Exchange): Json | undefined {
  return member(argumentOf(exchange), 'EventId') ?? member(exchange.reply?.frame[3], 'EventId');
}
