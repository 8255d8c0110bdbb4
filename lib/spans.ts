import { AsyncLocalStorage } from 'node:async_hooks';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { setTimeout as delay } from 'node:timers/promises';
import {
  isSpanContextValid,
  ProxyTracerProvider,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace as api,
} from '@opentelemetry/api';
import type { Context, Span, Tracer, TracerProvider } from '@opentelemetry/api';
import type { QueryEvent } from './database.ts';
import { requests } from './events.ts';
import type { RequestTrace } from './events.ts';
import { HEADERS } from './reads.ts';
import { errorCode, resultOf } from './metrics.ts';
import type { Pdk, PdkCall } from './pdk.ts';
import { NAME, VERSION } from './schema.ts';

export interface Spans {
  /** No spans any more; what the provider keeps is handed on, within a second. Never rejects. */
  close(): Promise<void>;
}

const FLUSH_TIMEOUT = 1000;

/**
 * A span for each request and each of its statements, if somebody has registered a provider of tracers with
 * `@opentelemetry/api` by now. Otherwise `undefined`, and nothing is done for any request.
 */
export function openSpans(): Spans | undefined {
  const provider = api.getTracerProvider();
  // The API's stand-in for those who come later. One that is registered may be of another copy of the package.
  const isNobody =
    provider instanceof ProxyTracerProvider && provider.getDelegateTracer(NAME) === undefined;
  if (isNobody) return undefined;
  const tracer = provider.getTracer(NAME, VERSION);
  const current = new AsyncLocalStorage<RequestSpan>();
  const onEnd = (message: unknown) => current.getStore()?.end(message as RequestTrace);
  const onQuery = (message: unknown) => current.getStore()?.tell(message as QueryEvent);
  requests.start.bindStore(current, (trace) => new RequestSpan(tracer, trace));
  subscribe(requests.asyncEnd.name, onEnd);
  subscribe('session-guard.query', onQuery);
  return {
    close: async () => {
      requests.start.unbindStore(current);
      unsubscribe(requests.asyncEnd.name, onEnd);
      unsubscribe('session-guard.query', onQuery);
      await flush(provider);
    },
  };
}

/** The process ends after this, with whatever a batch still holds. */
async function flush(provider: TracerProvider): Promise<void> {
  const found: object =
    'getDelegate' in provider ? (provider as ProxyTracerProvider).getDelegate() : provider;
  if (!('forceFlush' in found) || typeof found.forceFlush !== 'function') return;
  const flushed = Promise.resolve((found as { forceFlush(): unknown }).forceFlush()).catch(
    () => {},
  );
  await Promise.race([flushed, delay(FLUSH_TIMEOUT, undefined, { ref: false })]);
}

/** A request under way. Its span begins when its headers are known, since they say what it belongs to. */
class RequestSpan {
  readonly #tracer: Tracer;
  readonly #trace: RequestTrace;
  /** From performance.now to milliseconds since the epoch. */
  readonly #epoch = Date.now() - performance.now();
  #span: Span | undefined;
  #context: Context = ROOT_CONTEXT;
  #isOver = false;

  constructor(tracer: Tracer, trace: RequestTrace) {
    this.#tracer = tracer;
    this.#trace = trace;
    trace.pdk = new ListeningPdk(trace.pdk, (traceparent) => void this.#begin(traceparent));
  }

  end({ result: decision }: RequestTrace): void {
    const span = this.#span ?? this.#begin(undefined);
    const result = resultOf(decision);
    span.setAttribute('session_guard.result', result);
    if (result === 'unavailable') span.setStatus({ code: SpanStatusCode.ERROR });
    span.end(this.#now());
    this.#isOver = true;
  }

  /** A statement that this request has waited for; what it leaves to be written later is not its own. */
  tell({ name, milliseconds, error }: QueryEvent): void {
    if (this.#isOver) return;
    const end = this.#now();
    const options = {
      kind: SpanKind.CLIENT,
      startTime: end - milliseconds,
      attributes: { 'db.system.name': 'postgresql', 'db.operation.name': name },
    };
    const span = this.#tracer.startSpan(name, options, this.#context);
    if (error !== undefined) {
      span.setAttribute('error.type', errorCode(error));
      span.setStatus({ code: SpanStatusCode.ERROR });
    }
    span.end(end);
  }

  #begin(traceparent: unknown): Span {
    const { startedAt, config } = this.#trace;
    const { route, instance } = config.place;
    const options = {
      kind: SpanKind.INTERNAL,
      startTime: this.#epoch + startedAt,
      attributes: {
        'session_guard.storage': config.storage,
        'session_guard.audience': config.audience,
        ...(route !== undefined && { 'session_guard.route': route }),
        ...(instance !== undefined && { 'session_guard.instance': instance }),
      },
    };
    this.#span = this.#tracer.startSpan(`${NAME} access`, options, contextOf(traceparent));
    this.#context = api.setSpan(ROOT_CONTEXT, this.#span);
    return this.#span;
  }

  #now(): number {
    return this.#epoch + performance.now();
  }
}

const TRACEPARENT: PdkCall = Object.freeze(['kong.request.get_header', 'traceparent']);

/** The batches that ask for the header too. Those that never change are encoded once (lib/server/protobuf-calls.ts). */
const asking = new WeakMap<readonly PdkCall[], readonly PdkCall[]>();

function withTraceparent(calls: readonly PdkCall[]): readonly PdkCall[] {
  const known = asking.get(calls);
  if (known) return known;
  const made = Object.freeze([...calls, TRACEPARENT]);
  asking.set(calls, made);
  return made;
}

/** Looks for `traceparent` in the first answers of Kong, and asks for it where the headers are not among them. */
class ListeningPdk implements Pdk {
  readonly pipelined: boolean;
  readonly identityByContext: boolean;
  readonly #pdk: Pdk;
  #hear: ((traceparent: unknown) => void) | undefined;

  constructor(pdk: Pdk, hear: (traceparent: unknown) => void) {
    this.#pdk = pdk;
    this.pipelined = pdk.pipelined;
    this.identityByContext = pdk.identityByContext;
    this.#hear = hear;
  }

  async read(calls: readonly PdkCall[]): Promise<unknown[]> {
    const hear = this.#hear;
    if (hear === undefined) return this.#pdk.read(calls);
    this.#hear = undefined;
    const at = calls.indexOf(HEADERS);
    const answers = await this.#pdk.read(at === -1 ? withTraceparent(calls) : calls);
    if (at === -1) hear(answers.pop());
    else hear((answers[at] as { traceparent?: unknown } | null | undefined)?.traceparent);
    return answers;
  }

  act(calls: readonly PdkCall[]): Promise<void> {
    return this.#pdk.act(calls);
  }
}

/** A header as in W3C Trace Context 3.2; of several lines, or anything else, none counts. */
function contextOf(traceparent: unknown): Context {
  const [, version = '', traceId = '', spanId = '', flags = '', rest = ''] =
    (typeof traceparent === 'string' &&
      /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/.exec(traceparent)) ||
    [];
  const parent = { traceId, spanId, traceFlags: parseInt(flags, 16), isRemote: true };
  const isKnown = version !== 'ff' && (version !== '00' || rest === '');
  return isKnown && isSpanContextValid(parent)
    ? api.setSpanContext(ROOT_CONTEXT, parent)
    : ROOT_CONTEXT;
}
