import { readFileSync, readdirSync } from 'node:fs';
import { basename } from 'node:path';

import type { Json } from '../../support/gateway/entities.ts';
import {
  type RecordedRequest,
  type RecordedResponse,
  type RecordedUpstream,
  member,
  textOf,
} from './trace.ts';

/** A frame or an event of one connection, in order of time (test/traces/README.md). */
export interface Item {
  readonly dir?: 'kong>server' | 'server>kong';
  readonly conn?: number;
  readonly ms: number;
  readonly write?: number;
  readonly size?: number;
  readonly hex?: string;
  readonly decoded?: { readonly [key: string]: Json };
  readonly event?: string;
  /** Calls that Kong left unanswered when it closed. */
  readonly pendingAnswers?: number;
}

export interface ProtobufTrace {
  readonly name: string;
  readonly plugins: string;
  readonly config: Json | undefined;
  readonly requests: readonly RecordedRequest[];
  readonly responses: readonly (RecordedResponse & { readonly reachedUpstream?: number })[];
  readonly upstream: readonly RecordedUpstream[];
  readonly timeoutMs: number | undefined;
  readonly items: readonly Item[];
}

interface Metadata {
  readonly plugins: string;
  readonly config?: Json;
  readonly request?: RawRequest;
  /** A sentence where there are too many. */
  readonly requests?: RawRequest[] | string;
  readonly response?: RecordedResponse;
  readonly responses?: RecordedResponse[];
  readonly upstream: RecordedUpstream | (RecordedUpstream | null)[] | null;
  readonly timeouts?: string;
}

export function loadProtobufTraces(folder: URL): ProtobufTrace[] {
  const files = readdirSync(folder).filter((file) => file.endsWith('.jsonl'));
  if (files.length === 0) throw new Error(`no recordings in ${folder.pathname}`);
  return files.toSorted().map((file) => {
    const [first = '', ...rest] = readFileSync(new URL(file, folder), 'utf8').trim().split('\n');
    const metadata = JSON.parse(first) as Metadata;
    const upstream = Array.isArray(metadata.upstream) ? metadata.upstream : [metadata.upstream];
    const seconds = /(\d+(?:\.\d+)?) ?s/.exec(metadata.timeouts ?? '')?.[1];
    return {
      name: basename(file, '.jsonl'),
      plugins: metadata.plugins,
      config: metadata.config,
      requests: [metadata.requests ?? metadata.request].flat().flatMap(requestOf),
      responses: metadata.responses ?? (metadata.response ? [metadata.response] : []),
      upstream: upstream.filter((request) => request !== null),
      timeoutMs: seconds === undefined ? undefined : Number(seconds) * 1000,
      items: rest.map((line) => JSON.parse(line) as Item),
    };
  });
}

type RawRequest = Omit<RecordedRequest, 'lines'> & {
  readonly lines?: readonly (string | { readonly $latin1: string })[];
};

function requestOf(raw: RawRequest | string | undefined): RecordedRequest[] {
  if (raw === undefined || typeof raw === 'string') return [];
  const { lines, ...rest } = raw;
  if (lines === undefined) return [rest];
  return [
    { ...rest, lines: lines.map((line) => (typeof line === 'string' ? line : line.$latin1)) },
  ];
}

export const messageOf = (item: Item): string => textOf(item.decoded?.['message']);

/** A field of the decoded message. */
export const fieldOf = (item: Item, name: string): Json | undefined =>
  member(item.decoded?.['fields'], name);

/** The command of an RpcCall, its parameters. */
export function commandOf(item: Item, command: string): Json | undefined {
  return messageOf(item) === 'RpcCall' ? fieldOf(item, `cmd_${command}`) : undefined;
}
