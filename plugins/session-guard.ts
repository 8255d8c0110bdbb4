import { SessionGuard } from '../lib/instance.ts';
import type { Pdk, PdkCall, PdkValue } from '../lib/pdk.ts';
import { NAME, PRIORITY, schemaFields, VERSION } from '../lib/schema.ts';
import { openRegisteredSpans } from '../lib/tracing.ts';

// Nobody waits for it, and a rejection that nobody takes would end the server.
openRegisteredSpans().catch((error: unknown) =>
  process.stderr.write(`no spans: ${String(error)}\n`),
);

/**
 * What kong-pdk's stock `kong-js-pluginserver` loads. session-guard-server hosts the same SessionGuard without
 * kong-pdk in between.
 */
export class Plugin {
  readonly #guard: SessionGuard;

  /** @throws Error naming the field of a configuration that must not run */
  constructor(config: unknown) {
    this.#guard = new SessionGuard(config);
  }

  async access(kong: unknown): Promise<void> {
    await this.#guard.access(new StockPdk(kong));
  }
}

export const Name = NAME;
export const Version = VERSION;
export const Priority = PRIORITY;
export const Schema = schemaFields();

type Callable = (...args: unknown[]) => Promise<unknown>;

/** The calls over kong-pdk's proxy, whose strings are text where Kong's are octets. */
class StockPdk implements Pdk {
  readonly pipelined = false;
  readonly identityByContext = false;
  readonly #kong: unknown;

  constructor(kong: unknown) {
    this.#kong = kong;
  }

  async read(calls: readonly PdkCall[]): Promise<unknown[]> {
    const results: unknown[] = [];
    for (const call of calls) results.push(toOctets(await this.#call(call)));
    return results;
  }

  async act(calls: readonly PdkCall[]): Promise<void> {
    for (const call of calls) await this.#call(call);
  }

  #call([method, ...args]: PdkCall): Promise<unknown> {
    const [, ...path] = method.split('.');
    let target = this.#kong;
    for (const name of path) target = (target as Record<string, unknown>)[name];
    return (target as Callable)(...args.map((arg) => toText(arg)));
  }
}

/** Most strings are; the check spares them the conversion. */
const ASCII = /^[\p{ASCII}]*$/u;

function toOctets(value: unknown): unknown {
  if (typeof value === 'string') {
    return ASCII.test(value) ? value : Buffer.from(value).toString('latin1');
  }
  return mapMembers(value, toOctets);
}

function toText(value: PdkValue): unknown {
  if (typeof value === 'string') {
    return ASCII.test(value) ? value : Buffer.from(value, 'latin1').toString();
  }
  return mapMembers(value, (member) => toText(member as PdkValue));
}

function mapMembers(value: unknown, convert: (member: unknown) => unknown): unknown {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return value.map(convert);
  const members = Object.entries(value).map(([name, member]) => [name, convert(member)]);
  return Object.fromEntries(members) as unknown;
}
