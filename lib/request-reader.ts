import { AnonymousConsumers, saysAnonymous } from './anonymous.ts';
import type { Config } from './config.ts';
import { KongRequest } from './kong-request.ts';
import type { Variable } from './kong-request.ts';
import type { Pdk, PdkCall } from './pdk.ts';
import {
  CONSUMER,
  COOKIE,
  CREDENTIAL,
  GROUPS,
  HEADERS,
  REQUEST_LINE,
  TRAITS,
  TURN,
  VIEW,
} from './reads.ts';
import type { Request } from './request.ts';

/** Of those who come with a credential all that a new session takes is asked for at once. */
const FOR_SIGN_IN: readonly PdkCall[] = Object.freeze([CONSUMER, GROUPS, TRAITS.ip]);
const CREDENTIAL_FOR_SIGN_IN: readonly PdkCall[] = Object.freeze([CREDENTIAL, ...FOR_SIGN_IN]);

/**
 * Reads requests: what is always needed at once, the rest when the guard asks for it. Where a batch is one round trip all
 * that a session may need goes into the first, and the headers come as a whole. Elsewhere (MessagePack) each call is a
 * round trip, and a client can crash or mislead a plugin server through the keys of a map (`__proto__`,
 * `_method`: kong-pdk 0.6.0).
 */
export class RequestReader {
  readonly #traits: readonly PdkCall[];
  /** Frozen, so that each is encoded once. */
  readonly #batches = new Map<string, readonly PdkCall[]>();
  readonly #anonymous = new AnonymousConsumers();
  readonly #variables: KongVariables;
  /** The last request was anonymous for certain; the next one is, for the most part, too. */
  #wasAnonymous = false;

  constructor({ bind }: Pick<Config, 'bind'>, variables = NODE) {
    this.#variables = variables;
    this.#traits = bind.filter((trait) => trait !== 'user-agent').map((trait) => TRAITS[trait]);
  }

  async read(pdk: Pdk): Promise<Request> {
    const request = new KongRequest(pdk);
    const batch = this.#batch(pdk.pipelined);
    request.take(batch, await pdk.read(batch));
    this.#variables.learn(request.variable);
    // Kong forgot the variable only now; or there are more headers than it hands out.
    if (!request.isRead) await request.read(otherwise(pdk.pipelined));
    if (!request.isRead) await request.read([COOKIE]);
    if (!this.#recogniseAnonymous(request)) await this.#askWho(request, pdk);
    return request;
  }

  #recogniseAnonymous(request: KongRequest): boolean {
    const headers = request.credential ? undefined : this.#anonymous.headersIn(request.said);
    this.#wasAnonymous = headers !== undefined;
    if (headers) request.believe(headers);
    return this.#wasAnonymous;
  }

  async #askWho(request: KongRequest, { pipelined }: Pdk): Promise<void> {
    if (!request.knowsCredential) {
      await request.read(pipelined ? CREDENTIAL_FOR_SIGN_IN : [CREDENTIAL]);
    } else if (pipelined && request.credential) await request.read(FOR_SIGN_IN);
    if (request.credential || !saysAnonymous(request.said)) return;
    const consumer = await request.consumer();
    if (consumer) this.#anonymous.add(consumer);
    this.#recogniseAnonymous(request);
  }

  #batch(isPipelined: boolean): readonly PdkCall[] {
    const variable = this.#variables.best;
    const isAnonymous = variable === 'turn' && this.#wasAnonymous;
    const name = `${isPipelined} ${variable} ${isAnonymous}`;
    const known = this.#batches.get(name);
    if (known) return known;
    const hasVariable = variable === 'turn' || variable === 'view';
    const batch = Object.freeze([
      ...(isAnonymous ? [] : [CREDENTIAL]),
      ...VARIABLES[variable],
      ...(hasVariable ? [] : otherwise(isPipelined)),
      ...(isPipelined ? this.#traits : []),
    ]);
    this.#batches.set(name, batch);
    return batch;
  }
}

const VARIABLES = { turn: [TURN], view: [VIEW], none: [], unknown: [TURN, VIEW] } as const;

/** Which variable of ours a Kong has: the first request finds out. */
export class KongVariables {
  #best: Variable | 'unknown' = 'unknown';

  get best(): Variable | 'unknown' {
    return this.#best;
  }

  /** @param found the best of those that were asked for */
  learn(found: Variable): void {
    if (this.#best === 'unknown') this.#best = found;
    else if (found === 'none' && this.#best !== 'none') this.#best = 'unknown';
  }
}

/** Of the Kong that this process serves. */
const NODE = new KongVariables();

const otherwise = (isPipelined: boolean): readonly PdkCall[] =>
  isPipelined ? [HEADERS, REQUEST_LINE] : [COOKIE];
