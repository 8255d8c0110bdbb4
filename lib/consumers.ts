import { setTimeout as delay } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import { report } from './events.ts';

/** A consumer as far as it matters to a session. Byte strings as in pdk.ts. */
export interface Consumer {
  readonly id: string;
  readonly username?: string;
  readonly customId?: string;
}

/** Whom a session is about, as the bundled plugin says it: user name, else custom id, else id. */
export const subjectOf = ({ id, username, customId }: Consumer): string =>
  username ?? customId ?? id;

/** Asks Kong; `undefined` for "not found" and for "the database did not answer" alike (kong/pdk/client.lua). */
type LookUp = (id: string) => Promise<Consumer | undefined>;

export interface Question {
  readonly ttl: number;
  readonly lookUp: LookUp;
  /** The id of a consumer that is known to exist; asked for only when it is needed. */
  readonly control: () => Promise<string | undefined>;
}

/** Milliseconds until Kong is asked again after it gave no clear answer. */
const RETRY = 5000;

/** Milliseconds after which a question without an answer is nobody else's: Kong may have forgotten it (F6). */
const SHARED_FOR = 2000;

interface Running {
  readonly answer: Promise<Consumer | 'gone'>;
  readonly askedAt: number;
}

interface Known {
  readonly consumer: Consumer;
  readonly checkedAt: number;
}

/**
 * Whether the consumers of sessions still exist: asked of Kong once per `ttl` and consumer for the whole process,
 * whatever the number of requests.
 */
export class Consumers {
  readonly #clock: () => number;
  readonly #known = new LRUCache<string, Known>({ max: 50_000 });
  readonly #running = new Map<string, Running>();
  /** The last two that were found: one of them is not the one in question. */
  #controls: readonly string[] = [];

  /** `clock`: milliseconds that never go back. */
  constructor(clock = () => performance.now()) {
    this.#clock = clock;
  }

  /** What is known without asking; `undefined` when it is time to ask. `ttl` in milliseconds. */
  peek(id: string, ttl: number): Consumer | undefined {
    const known = this.#known.get(id);
    return known && this.#clock() - known.checkedAt <= ttl ? known.consumer : undefined;
  }

  /**
   * Asks Kong. A consumer counts as gone only if another one, known to exist, can be found at that moment: `control`
   * (the request's anonymous consumer) or one that was found lately. While that is undecided `last`, what the
   * session knows, holds for a few seconds more.
   */
  async check(last: Consumer, question: Question): Promise<Consumer | 'gone'> {
    const known = this.#running.get(last.id);
    const now = this.#clock();
    // The request that asks may be cut off before Kong answers; then everybody asks for themselves.
    const patience = known ? known.askedAt + SHARED_FOR - now : 0;
    if (known && patience > 0) {
      return (await answerWithin(known.answer, patience)) ?? this.#ask(last, question);
    }
    const running = { answer: this.#ask(last, question), askedAt: now };
    this.#running.set(last.id, running);
    try {
      return await running.answer;
    } finally {
      if (this.#running.get(last.id) === running) this.#running.delete(last.id);
    }
  }

  async #ask(last: Consumer, question: Question): Promise<Consumer | 'gone'> {
    const { id } = last;
    const { ttl, lookUp } = question;
    const now = this.#clock();
    const found = await lookUp(id);
    if (found !== undefined) return this.#remember(found, now);
    const control = (await question.control()) ?? this.#controls.find((known) => known !== id);
    const isKongAnswering =
      control !== undefined && control !== id && (await lookUp(control)) !== undefined;
    // Asked once more: a moment's failure before Kong's database answered the control is no absence.
    const again = isKongAnswering ? await lookUp(id) : undefined;
    if (again !== undefined) return this.#remember(again, now);
    if (isKongAnswering) {
      this.#known.delete(id);
      return 'gone';
    }
    report('consumer_undecided');
    this.#known.set(id, { consumer: last, checkedAt: now - ttl + Math.min(ttl, RETRY) });
    return last;
  }

  #remember(consumer: Consumer, checkedAt: number): Consumer {
    this.#known.set(consumer.id, { consumer, checkedAt });
    const [newest] = this.#controls;
    if (newest !== consumer.id) this.#controls = [consumer.id, ...(newest ? [newest] : [])];
    return consumer;
  }
}

/** The answer; `undefined` if there is none, or not within so many milliseconds. */
async function answerWithin<Answer>(
  answer: Promise<Answer>,
  milliseconds: number,
): Promise<Answer | undefined> {
  const abort = new AbortController();
  const { signal } = abort;
  const limit = delay(milliseconds, undefined, { signal }).catch(() => undefined);
  try {
    return await Promise.race([answer.catch(() => undefined), limit]);
  } finally {
    abort.abort();
  }
}
