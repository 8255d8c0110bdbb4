import { readdirSync, readFileSync } from 'node:fs';
import type { PdkCall, PdkValue } from '../../../lib/pdk.ts';
import { TRACES } from '../../support/traces.ts';

const DIRECTORY = new URL('protobuf/', TRACES);

interface Line {
  readonly dir?: 'kong>server' | 'server>kong';
  readonly event?: string;
  readonly conn: number;
  readonly write?: number;
  readonly size?: number;
  readonly hex?: string;
  readonly decoded?: {
    readonly message?: string | null;
    readonly fields?: Record<string, unknown>;
    readonly method?: string;
    readonly end?: true;
    readonly answerTo?: string;
  };
}

/** What the server wrote at once, as calls, and what Kong answered to it. */
export interface Exchange {
  readonly calls: PdkCall[];
  readonly written: Buffer;
  readonly answers: Buffer[];
  readonly answered: unknown[];
}

/**
 * One recorded request: the call that began it and its exchanges, of which the last one ends it.
 */
export interface RecordedEvent {
  readonly call: Buffer;
  readonly exchanges: Exchange[];
}

/** Traces of a server such as ours: it behaves, and the connection is not cut. */
const OF_A_SERVER_LIKE_OURS = /^(02|03|07|08)-|^04-pipelined-(?!many)|^04-exit-last$|^06-idle/;

const LEFT_OUT: Record<string, string> = {
  'null, false or no value, which the encoder refuses': `
    03-ctx-false 03-ctx-null 03-ctx-list-false-null 03-ctx-struct 03-ctx-absent-value
    03-ctx-kv-without-v 03-log 03-log-nil 03-exit-header-values 03-exit-bad-status
    03-exit-no-status 03-response-add-header-false 03-response-add-header-null
    03-response-set-header-no-value 03-service-set-header-false 03-service-set-header-null
    03-service-set-header-no-value 03-service-set-headers-absent 03-service-set-headers-false
    03-service-set-headers-null`,
  'shown with another port than was sent': `
    03-ctx-get-odd`,
  'not recorded whole': `
    03-exit-big 03-exit-binary 03-body-8k 03-header-long 03-ctx-bytes 03-service-set-headers-big
    03-service-set-headers-bytes 07-groups-acl`,
  'a function or field that is not carried': `
    03-response-get-header 03-response-get-status 03-router 03-headers-map 03-headers-map-zero
    03-authenticate-tags`,
  'another spelling of an empty field': `
    03-header-odd 03-var-empty 03-service-clear-header-empty 03-load-consumer
    03-authenticate-consumer-only 03-authenticate-credential-only 03-authenticate-empty
    07-groups-acl-credential-only 02-event-return-with-empty-status`,
  'Kong answers 500 before the end': `
    03-load-consumer-empty 03-load-consumer-not-uuid 03-log-empty 03-query-arg-bare
    03-service-set-headers-number-in-list`,
};

/** The names of the traces that our server can take part in. */
export function replayableTraces(): string[] {
  const leftOut = new Set(Object.values(LEFT_OUT).join(' ').trim().split(/\s+/));
  return readdirSync(DIRECTORY)
    .filter((name) => name.endsWith('.jsonl'))
    .map((name) => name.slice(0, -'.jsonl'.length))
    .filter((name) => OF_A_SERVER_LIKE_OURS.test(name) && !leftOut.has(name));
}

/**
 * The requests of a trace that ended as a server of ours would end them. Throws Error naming what
 * cannot be replayed.
 */
export function recordedEvents(name: string): RecordedEvent[] {
  const text = readFileSync(new URL(`${name}.jsonl`, DIRECTORY), 'utf8');
  const lines = text
    .trim()
    .split('\n')
    .slice(1)
    .map((line) => JSON.parse(line) as Line);
  const events: RecordedEvent[] = [];
  for (const conn of new Set(lines.map((line) => line.conn))) {
    let current: Line[] = [];
    for (const line of lines.filter((candidate) => candidate.conn === conn)) {
      if (line.dir === undefined) continue;
      const isCall = line.decoded?.message === 'RpcCall';
      if (isCall && current.length > 0) events.push(...toEvent(current));
      current = isCall ? [line] : [...current, line];
    }
    events.push(...toEvent(current));
  }
  return events;
}

function toEvent([call, ...frames]: Line[]): RecordedEvent[] {
  if (!call?.decoded?.fields?.['cmd_handle_event']) return [];
  const exchanges: Exchange[] = [];
  let group: Line[] = [];
  let answers: Line[] = [];
  const flush = () => {
    if (group.length > 0) exchanges.push(toExchange(group, answers));
    [group, answers] = [[], []];
  };
  for (const frame of frames) {
    if (frame.dir === 'kong>server') answers.push(frame);
    else {
      if (answers.length > 0) flush();
      group.push(frame);
    }
  }
  flush();
  return [{ call: bytesOf(call), exchanges }];
}

function toExchange(group: readonly Line[], answers: readonly Line[]): Exchange {
  const calls: PdkCall[] = [];
  for (let i = 0; i < group.length; i++) {
    const method = group[i]!.decoded?.method;
    if (method !== undefined) calls.push([method, ...argumentsOf(group[++i]?.decoded)]);
  }
  return {
    calls,
    written: Buffer.concat(group.map(bytesOf)),
    answers: answers.map(bytesOf),
    answered: answers.map(({ decoded }) => decoded?.fields),
  };
}

function bytesOf({ hex, size }: Line): Buffer {
  if (hex === undefined || hex.length !== size! * 2) throw new Error('bytes not recorded');
  return Buffer.from(hex, 'hex');
}

function argumentsOf(decoded: Line['decoded']): PdkValue[] {
  const fields = (decoded?.fields ?? {}) as Record<string, never>;
  switch (decoded?.message ?? '') {
    case 'Empty':
      return [];
    case 'String':
      return [fields['v'] ?? ''];
    case 'KV':
      return [fields['k'] ?? '', valueOf(fields['v'])];
    case 'Struct':
      return [structOf(fields)];
    case 'ListValue':
      return listOf(fields);
    case 'ConsumerSpec':
      return [fields['id'] ?? '', fields['by_username'] ?? false];
    case 'AuthenticateArgs':
      return [fields['consumer'] ?? {}, fields['credential'] ?? {}];
    case 'ExitArgs':
      return exitOf(fields);
    default:
      throw new Error(`argument ${decoded?.message}`);
  }
}

function exitOf({ status, body, headers }: Record<string, never>): PdkValue[] {
  const text = typeof body === 'string' ? Buffer.from(body).toString('latin1') : body;
  const args: (PdkValue | undefined)[] = [status, text, headers && structOf(headers)];
  while (args.length > 1 && args.at(-1) === undefined) args.pop();
  return args as PdkValue[];
}

const structOf = ({ fields = {} }: { fields?: object }): PdkValue =>
  Object.fromEntries(Object.entries(fields).map(([key, value]) => [key, valueOf(value)]));

const listOf = ({ values = [] }: { values?: unknown[] }): PdkValue[] =>
  values.map((value) => valueOf(value));

/** google.protobuf.Value as the traces show it. */
export function valueOf(value: unknown): PdkValue {
  const kinds = value as Record<string, never>;
  const [kind] = Object.keys(kinds ?? {});
  if (kind === 'struct_value') return structOf(kinds[kind]!);
  if (kind === 'list_value') return listOf(kinds[kind]!);
  if (kind === 'string_value') return Buffer.from(kinds[kind]!).toString('latin1');
  if (kind === 'number_value' || kind === 'bool_value') return kinds[kind]!;
  throw new Error(`value ${kind}`);
}
