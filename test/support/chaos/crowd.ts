import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../../e2e/support/waiting.ts';
import type { Browser } from '../client.ts';
import type { Shot } from './load.ts';
import { LOGOUT, type Outcome, type Person, type Stage } from './stage.ts';

export interface Member {
  readonly person: Person;
  readonly browser: Browser;
}

/** People with sessions, some whose session has ended, and strangers: what a site sees in a day. */
export class Crowd {
  readonly #stage: Stage;
  readonly members: readonly Member[];
  /** Cookies of sessions that were signed out: nothing may revive them. */
  readonly ended: readonly string[];
  #visits = 0;

  private constructor(stage: Stage, members: readonly Member[], ended: readonly string[]) {
    this.#stage = stage;
    this.members = members;
    this.ended = ended;
  }

  static async gather(stage: Stage, size: number): Promise<Crowd> {
    const people = await stage.people(size);
    const members: Member[] = [];
    const ended: string[] = [];
    for (const person of people) members.push({ person, browser: await stage.signIn(person) });
    for (const person of people.slice(0, Math.ceil(size / 4))) {
      const browser = await stage.signIn(person);
      ended.push(browser.cookies());
      // A repetition finds nobody signed in where only the response came too late.
      const signOut = async () => (await browser.ask({ scheme: 'http', ...LOGOUT })).status < 500;
      await until('signed out', signOut);
    }
    return new Crowd(stage, members, ended);
  }

  /**
   * Of ten requests seven are of members (kind `session`), one of an ended session, one of nobody, and one signs in
   * with a key.
   */
  readonly shoot: Shot = async (index) => {
    const turn = Math.floor(index / 10);
    switch (index % 10) {
      case 6:
        return { kind: 'ended', outcome: await this.#asEnded(turn) };
      case 7:
        return { kind: 'nobody', outcome: await this.#ask({}) };
      case 8:
        return { kind: 'key', outcome: await this.#withKey(turn) };
      default:
        return { kind: 'session', outcome: await this.visit(this.#visits++) };
    }
  };

  /** A member's request; the browser follows the cookies. */
  async visit(index: number): Promise<Outcome> {
    const { person, browser } = pick(this.members, index);
    return this.#judged(browser.ask({ scheme: 'http' }), person);
  }

  /** How many members are no longer served as themselves, without any fault going on. */
  async lost(): Promise<number> {
    let lost = 0;
    for (const index of this.members.keys()) {
      if ((await insist(() => this.visit(index))) !== 'served') lost++;
    }
    return lost;
  }

  /** How many ended sessions are served. */
  async revived(): Promise<number> {
    let revived = 0;
    for (const index of this.ended.keys()) {
      if ((await insist(() => this.#asEnded(index))) !== 'refused') revived++;
    }
    return revived;
  }

  #asEnded(index: number): Promise<Outcome> {
    return this.#ask({ cookie: pick(this.ended, index) });
  }

  #withKey(index: number): Promise<Outcome> {
    const { person } = pick(this.members, index);
    return this.#judged(this.#stage.ask({ headers: { apikey: person.key } }), person);
  }

  #ask(ask: { cookie?: string }): Promise<Outcome> {
    return this.#judged(this.#stage.ask(ask));
  }

  /** A connection that breaks is a request without an answer. */
  async #judged(reply: ReturnType<Stage['ask']>, person?: Person): Promise<Outcome> {
    const answer = await reply.catch(() => undefined);
    return answer ? this.#stage.judge(answer, person) : 'unavailable';
  }
}

const ATTEMPTS = 20;
const PAUSE = 250; // milliseconds

/** A busy machine may be late for a request; as clients are told to, it is then sent again. */
export async function insist(ask: () => Promise<Outcome>): Promise<Outcome> {
  for (let attempt = 1; ; attempt++) {
    const outcome = await ask();
    if (outcome !== 'unavailable' || attempt === ATTEMPTS) return outcome;
    await sleep(PAUSE);
  }
}

function pick<T>(list: readonly T[], index: number): T {
  const found = list[index % list.length];
  if (found === undefined) throw new TypeError('nobody to choose from');
  return found;
}
