import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { isOurAnswer } from '../support/server-node.ts';
import type { Ask, Reply, ServerRoute } from '../support/server-node.ts';
import { IDLE_EXEMPT } from './races-plan.ts';
import type { Plan, Step } from './races-plan.ts';
import type { Verdict, World } from './races-world.ts';
import { CHANNELS, cookieOf, insist, openTokens, signIn, successorsOf } from './races-requests.ts';

const DAY = 86_400_000;
const MINUTES = 60_000;
/** How long a node may take that was not told of an end: `cache_ttl`, and a little. Milliseconds. */
const BOUND = 6000;

const LOGOUT: Ask = { method: 'DELETE', target: '/?session_logout=true' };

interface Row {
  readonly kind: number;
  readonly generation: number;
  readonly is_alive: boolean;
}

/** One session, the requests that race for it, and what is true afterwards. */
export class Round {
  readonly #world: World;
  readonly #plan: Plan;
  readonly #person = { id: randomUUID(), username: 'alice' };
  readonly #stranger = { id: randomUUID(), username: 'mallory' };
  /** The browser in question. */
  readonly #jar = new Map<string, string>();
  /** Another browser of the same person. */
  #bystander = '';
  #family = '';
  /** Every cookie of the session that ever left a node. */
  readonly #issued = new Set<string>();
  /** Nodes that have confirmed the end. */
  readonly #confirmedBy = new Set<number>();
  #endsBystander = false;
  #isUndecided = false;
  #acceptedHere = 0;
  #mixedUp = 0;
  #restores = 0;

  private constructor(world: World, plan: Plan) {
    this.#world = world;
    this.#plan = plan;
  }

  /** Signs in, in both browsers. */
  static async begin(world: World, plan: Plan): Promise<Round> {
    const round = new Round(world, plan);
    const route = round.#route(plan.node);
    round.#keep(await signIn(route, round.#person));
    const { rows } = await world.pool.query<{ family: string }>(
      `select family from ${world.schema}.sessions where consumer_id = $1 limit 1`,
      [round.#person.id],
    );
    round.#family = rows[0]?.family ?? '';
    round.#bystander = cookieOf(await signIn(route, round.#person)) ?? '';
    return round;
  }

  get isExpiring(): boolean {
    return this.#plan.expiresIn !== undefined;
  }

  /** Puts the sign-in back in time, so that the session is due for renewal or about to expire. */
  async age(): Promise<void> {
    const started = this.isExpiring ? DAY - LEAD : 50 * MINUTES;
    const { pool, schema } = this.#world;
    await pool.query(
      `update ${schema}.sessions set
        authenticated_at = authenticated_at - $2 * interval '1 ms', started_at = started_at - $2 * interval '1 ms',
        renewed_at = renewed_at - interval '50 minutes',
        expires_at = least(expires_at - interval '50 minutes', started_at - $2 * interval '1 ms' + interval '1 day')
      where family = $1 and kind = 0`,
      [this.#family, started],
    );
  }

  /** Lets some nodes know the session, without a renewal. */
  async warm(): Promise<void> {
    const ask = { cookies: this.#cookies, headers: { [IDLE_EXEMPT]: '1' } };
    await Promise.all(this.#plan.warm.map((node) => insist(this.#route(node), ask)));
  }

  async race(): Promise<void> {
    await Promise.all(this.#plan.steps.map((step) => this.#take(step)));
    if (this.isExpiring) await sleep(100);
  }

  /** Until the race is to begin: a few milliseconds before the session expires. */
  async untilNearTheEnd(): Promise<void> {
    const { pool, schema } = this.#world;
    const { rows } = await pool.query<{ left: number }>(
      `select (extract(epoch from max(expires_at) - clock_timestamp()) * 1000)::float8 as left
      from ${schema}.sessions where family = $1 and kind = 0`,
      [this.#family],
    );
    await sleep(Math.max(0, (rows[0]?.left ?? 0) - (this.#plan.expiresIn ?? 0)));
  }

  async #take({ deed, node, delay }: Step): Promise<void> {
    if (delay > 0) await sleep(delay);
    const cookies = this.#cookies;
    switch (deed) {
      case 'use':
        return this.#keep(await this.#ask(node, { cookies }));
      case 'lost-use':
        return this.#note(await this.#ask(node, { cookies }));
      case 'restore': {
        const remembered = await this.#ask(node, { cookies: this.#jar.get('remember') ?? '' });
        if (remembered.consumerId === this.#person.id) this.#restores++;
        return this.#keep(remembered);
      }
      case 'logout':
        return this.#end(node, { ...LOGOUT, cookies });
      case 'end-others':
        return this.#end(node, {
          method: 'DELETE',
          target: '/_sessions/others',
          cookies: this.#bystander,
        });
      case 'end-all':
        return this.#end(node, { method: 'DELETE', target: '/_sessions', cookies }, true);
      case 'end-consumer':
        this.#endsBystander = true;
        await this.#world.operator.endConsumer(this.#person.id);
        this.#confirmedBy.add(-1);
        return;
      case 'take-over': {
        const reply = await this.#ask(node, { cookies, consumer: this.#stranger });
        if (cookieOf(reply) !== undefined) await this.#confirm(node);
      }
    }
  }

  async #end(node: number, ask: Ask, isAll = false): Promise<void> {
    const reply = await this.#ask(node, ask);
    if (!isOurAnswer(reply)) return;
    if (isAll) this.#endsBystander = true;
    await this.#confirm(node);
  }

  /** From the confirmation on that node accepts nothing of it any more. */
  async #confirm(node: number): Promise<void> {
    this.#confirmedBy.add(node);
    const cookies = [...this.#issued].at(-1) ?? '';
    const { consumerId } = await insist(this.#route(node), { cookies });
    if (consumerId === this.#person.id) this.#acceptedHere++;
  }

  async #ask(node: number, ask: Ask): Promise<Reply> {
    const reply = await this.#route(node).ask(ask);
    if (reply.status === 503) this.#isUndecided = true;
    const { consumerId } = reply;
    if (consumerId !== undefined && consumerId !== this.#person.id) this.#mixedUp++;
    return reply;
  }

  /** What a browser does with a response. */
  #keep(reply: Reply): void {
    this.#note(reply);
    for (const name of ['session', 'remember']) {
      const cookie = cookieOf(reply, name);
      if (cookie !== undefined) this.#jar.set(name, cookie);
    }
  }

  #note(reply: Reply): void {
    for (const name of ['session', 'remember']) {
      const cookie = cookieOf(reply, name);
      if (cookie !== undefined) this.#issued.add(cookie);
    }
  }

  /** A session that expires would be restored by the persistent cookie, as it should: that one stays at home. */
  get #cookies(): string {
    if (this.isExpiring) return this.#jar.get('session') ?? '';
    return [...this.#jar.values()].join('; ');
  }

  #route(node: number): ServerRoute {
    const route = this.#world.routes[node];
    if (route === undefined) throw new TypeError(`there is no node ${node}`);
    return route;
  }

  async judge(): Promise<Verdict> {
    const fate = this.#fate();
    const rows = await this.#rows();
    const alive = rows.filter((row) => row.is_alive).length;
    const isOver = fate === 'ended' || fate === 'expired';
    const main = await openTokens(this.#issuedAs('session'), CHANNELS.session);
    const successors = successorsOf(main, main[0]?.id);
    return {
      fate,
      family: this.#family,
      successors: successors.size,
      acceptedHere: this.#acceptedHere + (isOver ? await this.#acceptedBy(this.#confirmedBy) : 0),
      acceptedLater: isOver ? await this.#acceptedAtLast() : 0,
      resurrected: fate === 'ended' ? rows.length : fate === 'expired' ? alive - 1 : 0,
      misfits: fate === 'alive' ? this.#misfits(rows, successors) : 0,
      lost: fate === 'alive' ? await this.#lostAt() : 0,
      innocent: await this.#lostBystander(),
      mixedUp: this.#mixedUp,
    };
  }

  #fate(): Verdict['fate'] {
    if (this.#confirmedBy.size > 0) return 'ended';
    if (this.#isUndecided) return 'undecided';
    return this.isExpiring ? 'expired' : 'alive';
  }

  async #rows(): Promise<Row[]> {
    const { pool, schema } = this.#world;
    const { rows } = await pool.query<Row>(
      `select kind, generation, expires_at > now() as is_alive from ${schema}.sessions
      where family = $1 order by started_at`,
      [this.#family],
    );
    return rows;
  }

  /** One row for the session, as many successors as its generation says, one more for all restored tabs together. */
  #misfits(rows: readonly Row[], successors: ReadonlySet<number>): number {
    const sessions = rows.filter(({ kind }) => kind === 0);
    const remembered = rows.filter(({ kind }) => kind === 1);
    const hasRestored = this.#restores > 0;
    const checks = [
      sessions.length === (hasRestored ? 2 : 1),
      remembered.length === 1 && remembered[0]?.generation === Number(hasRestored),
      successors.size === 0 || sessions[0]?.generation === Math.max(...successors),
    ];
    return checks.filter((holds) => !holds).length;
  }

  #issuedAs(name: string): string[] {
    return [...this.#issued].filter((cookie) => cookie.startsWith(`${name}=`));
  }

  /**
   * The cookies of the session, the newest first: to judge an older one a node asks the store, and then knows better of
   * the newest too.
   */
  #leftBehind(): string[] {
    const issued = this.isExpiring ? this.#issuedAs('session') : [...this.#issued];
    return issued.toReversed();
  }

  /** By the nodes that have confirmed the end: at once. */
  async #acceptedBy(nodes: ReadonlySet<number>): Promise<number> {
    let accepted = 0;
    for (const node of [...nodes].filter((one) => one >= 0)) {
      for (const cookie of this.#leftBehind()) {
        accepted += Number(await this.#isAccepted(node, cookie));
      }
    }
    return accepted;
  }

  /** By any node, after the time that a node may take. */
  async #acceptedAtLast(): Promise<number> {
    const deadline = performance.now() + BOUND;
    const isAcceptedAtLast = async (node: number, cookie: string): Promise<boolean> => {
      while (await this.#isAccepted(node, cookie)) {
        if (performance.now() > deadline) return true;
        await sleep(20);
      }
      return false;
    };
    const accepted = await Promise.all(
      this.#world.routes.map(async (_, node) => {
        let count = 0;
        for (const cookie of this.#leftBehind()) {
          count += Number(await isAcceptedAtLast(node, cookie));
        }
        return count;
      }),
    );
    return accepted.reduce((sum, count) => sum + count, 0);
  }

  async #isAccepted(node: number, cookies: string): Promise<boolean> {
    return (await insist(this.#route(node), { cookies })).consumerId === this.#person.id;
  }

  /** Nodes at which the browser's session is none any more. */
  async #lostAt(): Promise<number> {
    const kept = await Promise.all(
      this.#world.routes.map((_, node) => this.#isAccepted(node, this.#jar.get('session') ?? '')),
    );
    return kept.filter((isKept) => !isKept).length;
  }

  async #lostBystander(): Promise<number> {
    if (this.#endsBystander || this.#isUndecided) return 0;
    const node = (this.#plan.node + 1) % this.#world.routes.length;
    return Number(!(await this.#isAccepted(node, this.#bystander)));
  }
}

/** Milliseconds between the ageing of a session and its end. */
const LEAD = 500;
