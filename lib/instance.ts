import { openChannels } from './channel.ts';
import { parseConfig } from './config.ts';
import { Consumers } from './consumers.ts';
import { report, requests } from './events.ts';
import type { RequestTrace } from './events.ts';
import { decide } from './guard.ts';
import type { Decision } from './guard.ts';
import { KeyRing } from './keys.ts';
import { RequestReader } from './request-reader.ts';
import { carryOut, refuse } from './kong.ts';
import type { Instance, Pdk } from './pdk.ts';
import type { Guard } from './presence.ts';
import type { Request } from './request.ts';
import { openCredentials, openStorage } from './storages.ts';
import { DataCodec } from './token.ts';

/** Kong gives up on an answer after 60 s and lets the request pass (the read timeout of its sockets): far below that. */
const DEADLINE = 5000;

/** One node, one Kong: what it says about consumers is the same for all instances. */
const consumers = new Consumers();

/**
 * The plugin under one configuration. Kong makes one for every worker and route; it closes those whose configuration has
 * changed and drops the others without notice.
 */
export class SessionGuard implements Instance {
  readonly #guard: Guard;
  readonly #reader: RequestReader;
  readonly #deadline: number;
  readonly #release: () => void;
  #hasLooked = false;
  #hasWarned = false;

  /** @throws SessionError ERR_CONFIG naming the field; Kong then answers 500 to the route's requests */
  constructor(raw: unknown, deadline = DEADLINE) {
    const config = parseConfig(raw);
    // Rows of both kinds are read by whoever knows the realm of the session cookie.
    const ring = new KeyRing(config.secrets, config.realm, 0);
    const credentials = openCredentials(config);
    const channels = openChannels(config);
    const { storage, release } = openStorage(config, (now) => new DataCodec(ring, now));
    this.#guard = { config, storage, consumers, credentials, channels };
    this.#release = release;
    this.#reader = new RequestReader(config);
    this.#deadline = deadline;
    if (config.oldNames.length > 0) {
      report('old_names', { at: config.place, reason: config.oldNames.join(', ') });
    }
  }

  /**
   * Handles one request. Kong goes on with a request whose plugin throws, so nothing is thrown: what could not be
   * decided is answered with 503 (ASVS 16.5.3).
   */
  access(pdk: Pdk): Promise<unknown> {
    if (!requests.hasSubscribers) return this.#handle(pdk);
    const { config } = this.#guard;
    const trace: RequestTrace = { pdk, config, startedAt: performance.now() };
    return requests.tracePromise(() => this.#handle(trace.pdk), trace);
  }

  /** What no request needs any more is closed. */
  close(): void {
    this.#release();
  }

  async #handle(pdk: Pdk): Promise<Decision | undefined> {
    try {
      const request = await this.#reader.read(pdk);
      const decided = decide(this.#guard, request);
      // Most are decided at once: no timer for these.
      const decision =
        decided instanceof Promise
          ? await within(this.#deadline, this.#lookAfter(request, decided))
          : decided;
      await carryOut(decision, this.#guard, request, pdk);
      return decision;
    } catch (error) {
      const reason = error instanceof Error ? error.name : 'unknown';
      report('handler_failed', { at: this.#guard.config.place, reason });
      await refuse(pdk);
      return undefined;
    }
  }

  async #lookAfter(request: Request, decided: Promise<Decision>): Promise<Decision> {
    const decision = await decided;
    if (decision.kind === 'nobody') await this.#look(request);
    return decision;
  }

  /** Warns of a route without an auth plugin. Where Kong would have to be asked for nothing else it is asked once. */
  async #look(request: Request): Promise<void> {
    if (this.#hasWarned || (request.isUnclaimed && this.#hasLooked)) return;
    this.#hasLooked = true;
    if (await request.consumer()) return;
    this.#hasWarned = true;
    report('no_auth_plugin', { at: this.#guard.config.place });
  }
}

class DeadlineError extends Error {
  override readonly name = 'DeadlineError';
}

async function within<T>(milliseconds: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const alarm = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new DeadlineError()), milliseconds);
  });
  try {
    return await Promise.race([work, alarm]);
  } finally {
    clearTimeout(timer);
  }
}
