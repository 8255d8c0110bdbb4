import type { Spans } from './spans.ts';

/** Where all copies of @opentelemetry/api 1.x keep what is registered. To look there it need not be loaded. */
const OPENTELEMETRY = Symbol.for('opentelemetry.js.api.1');

/**
 * Spans, if a file that Node has loaded before the program has registered a provider of tracers, with whatever copy of
 * `@opentelemetry/api`. Otherwise `undefined`, and nothing is loaded for them.
 */
export async function openRegisteredSpans(): Promise<Spans | undefined> {
  if (!(OPENTELEMETRY in globalThis)) return undefined;
  const { openSpans } = await import('./spans.ts');
  return openSpans();
}
