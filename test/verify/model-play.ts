import assert from 'node:assert/strict';
import { decide } from '../../lib/guard.ts';
import type { Decision } from '../../lib/guard.ts';
import { alice, bob, requestOf, signInAs } from '../support/visitor.ts';
import type { Visit } from '../support/visitor.ts';
import { Model } from './model-sessions.ts';
import type { Copy, ModelSession, Turn } from './model-sessions.ts';
import type { World } from './model-world.ts';
import { CHANNELS } from './races-requests.ts';

interface Request {
  readonly browser: number;
  readonly node: number;
  /** Whether the browser never sees the response. */
  readonly isLost: boolean;
}

export type Command =
  | ({ readonly name: 'use' | 'log-out' } & Request)
  | ({ readonly name: 'sign-in'; readonly person: number } & Request)
  | { readonly name: 'revoke'; readonly person: number; readonly node: number }
  | { readonly name: 'steal'; readonly from: number; readonly to: number }
  | { readonly name: 'pass-time'; readonly milliseconds: number }
  | { readonly name: 'restart'; readonly node: number };

const PEOPLE = [alice, bob] as const;
const LOGOUT: Visit = { method: 'DELETE', target: '/?session_logout=1' };

/** A cookie in a browser: its text, and what the model takes it for. */
interface Cookie extends Copy {
  readonly value: string;
}

/** What a response has to do with the browser's cookie; `may-renew`: a node may not know that it need not. */
type Sending =
  | { readonly kind: 'nothing' | 'deletion' }
  | { readonly kind: 'renewal' | 'may-renew'; readonly session: ModelSession };

interface Living {
  readonly isAlive: true;
  readonly standing: 'fresh' | 'previous';
  readonly session: ModelSession;
}

/** What a browser's cookie is good for before the command. */
type Held = Living | { readonly isAlive: false; readonly isDead: boolean };

/** One sequence of commands, carried out by the nodes and by the model. */
export class Play {
  readonly #world: World;
  readonly #model: Model;
  readonly #cookies: (Cookie | undefined)[] = [];
  readonly #ids = new Map<ModelSession, string>();
  #ends = 0;

  constructor(world: World, note: (turn: Turn) => void) {
    this.#world = world;
    this.#model = new Model(world.now, note);
  }

  /** Rejects with an AssertionError where the nodes do not what the model says. */
  async perform(command: Command): Promise<void> {
    // A sign-in in the very millisecond of a revocation would count as one before it.
    if (command.name === 'sign-in') await this.#world.tick();
    this.#model.now = this.#world.now;
    await this.#carryOut(command);
    const ends = this.#model.sessions.filter(({ isEnded }) => isEnded).length;
    if (ends > this.#ends) await this.#world.heard();
    this.#ends = ends;
  }

  /** As many sessions live in the store as in the model. */
  async compareCounts(): Promise<void> {
    for (const { id } of PEOPLE) {
      const living = this.#model.sessions.filter(
        (session) => session.person === id && session.isStored(this.#world.now),
      );
      assert.equal(await this.#world.node(0).backend.count(id), living.length, 'living sessions');
    }
  }

  async #carryOut(command: Command): Promise<void> {
    switch (command.name) {
      case 'use':
        return this.#use(command);
      case 'log-out':
        return this.#logOut(command);
      case 'sign-in':
        return this.#signIn(command, personOf(command.person).id);
      case 'revoke': {
        const { id } = personOf(command.person);
        this.#model.revoke(id);
        return this.#world.node(command.node).backend.endConsumer(id);
      }
      case 'steal':
        this.#cookies[command.to] = this.#cookies[command.from];
        return;
      case 'pass-time':
        return this.#world.pass(command.milliseconds);
      case 'restart':
        return this.#world.restart(command.node);
    }
  }

  async #use(request: Request): Promise<void> {
    const held = this.#judge(request);
    const decision = await this.#visit(request);
    if (!held.isAlive) {
      assert.equal(decision.kind, 'nobody');
      return this.#receive(request, decision, { kind: held.isDead ? 'deletion' : 'nothing' });
    }
    assert.ok(decision.kind === 'session', `a ${held.standing} cookie makes ${decision.kind}`);
    assert.equal(decision.consumer.id, held.session.person);
    return this.#receive(request, decision, this.#useOf(held));
  }

  async #logOut(request: Request): Promise<void> {
    const held = this.#judge(request);
    const decision = await this.#visit(request, LOGOUT);
    if (held.isAlive) held.session.isEnded = true;
    assert.equal(decision.kind, held.isAlive ? 'logout' : 'nobody');
    const isDeleted = held.isAlive || held.isDead;
    return this.#receive(request, decision, { kind: isDeleted ? 'deletion' : 'nothing' });
  }

  /** Of somebody who has a session already it is a use; anybody else's session ends. */
  async #signIn(request: Request, person: string): Promise<void> {
    const held = this.#judge(request);
    const decision = await this.#visit(request, signInAs(consumerOf(person)));
    assert.equal(decision.kind, 'credential');
    if (held.isAlive && held.session.person === person) {
      return this.#receive(request, decision, this.#useOf(held));
    }
    if (held.isAlive) held.session.isEnded = true;
    const session = this.#model.begin(person);
    return this.#receive(request, decision, { kind: 'renewal', session });
  }

  #judge({ browser }: Request): Held {
    const cookie = this.#cookies[browser];
    if (cookie === undefined) return { isAlive: false, isDead: false };
    const standing = this.#model.judge(cookie);
    return standing === 'fresh' || standing === 'previous'
      ? { isAlive: true, standing, session: cookie.session }
      : { isAlive: false, isDead: standing === 'dead' };
  }

  #useOf({ session, standing }: Living): Sending {
    return { kind: this.#model.use(session, standing) ? 'renewal' : 'may-renew', session };
  }

  #visit({ browser, node }: Request, visit: Visit = {}): Promise<Decision> {
    const cookie = this.#cookies[browser];
    const header = cookie ? `session=${cookie.value}` : '';
    return Promise.resolve(decide(this.#world.node(node).guard, requestOf(header, visit)));
  }

  /** Compares what the response says of the cookie, and lets the browser do it unless the response is lost. */
  async #receive(
    { browser, isLost }: Request,
    decision: Decision,
    sending: Sending,
  ): Promise<void> {
    assert.ok(decision.kind !== 'unavailable');
    const line = decision.cookies.find((one) => one.startsWith('session='));
    if (line === undefined) {
      assert.ok(sending.kind === 'nothing' || sending.kind === 'may-renew', `no ${sending.kind}`);
      return;
    }
    const isDeletion = /; Max-Age=0;/.test(line);
    assert.equal(isDeletion, sending.kind === 'deletion', line.replace(/=[^;]*/, '=…'));
    const cookie = 'session' in sending ? await this.#read(line, sending.session) : undefined;
    if (!isLost) this.#cookies[browser] = cookie;
  }

  /** A cookie always is of that session as it now is. */
  async #read(line: string, session: ModelSession): Promise<Cookie> {
    const value = line.slice(line.indexOf('=') + 1, line.indexOf(';'));
    const token = await CHANNELS.session.codec.open(value, this.#world.now);
    assert.equal(token?.entries.length, 1);
    const [entry] = token.entries;
    assert.equal(entry?.generation, session.generation);
    assert.equal(entry.id, this.#ids.get(session) ?? entry.id);
    this.#ids.set(session, entry.id);
    return { value, session, generation: session.generation };
  }
}

function personOf(index: number): (typeof PEOPLE)[number] {
  const person = PEOPLE[index];
  if (person === undefined) throw new TypeError(`there is no person ${index}`);
  return person;
}

const consumerOf = (id: string) => (id === alice.id ? alice : bob);
