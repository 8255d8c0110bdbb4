import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CookieStorage } from '../../lib/cookie-storage.ts';
import { runs } from '../support/runs.ts';
import { alice, openGuard, signInAs, Visitor } from '../support/visitor.ts';

interface Limits {
  readonly idling: number;
  readonly rolling: number;
  readonly absolute: number;
}

/** The rules once more, in whole seconds and as plainly as they can be said. Nothing here is shared with lib/. */
class Model {
  readonly #limits: Limits;
  readonly #touch: number;
  readonly #began: number;
  #issued: number;
  #seen: number;

  constructor(limits: Limits, now: number) {
    this.#limits = limits;
    this.#touch = limits.idling === 0 ? 60 : Math.min(60, limits.idling / 4);
    this.#began = this.#issued = this.#seen = now;
  }

  isAlive(now: number): boolean {
    const { idling, rolling, absolute } = this.#limits;
    if (idling !== 0 && now - this.#seen > idling) return false;
    if (rolling !== 0 && now - this.#issued > rolling) return false;
    return absolute === 0 || now - this.#began <= absolute;
  }

  /** A request at `now`; says whether the browser gets a cookie. */
  use(now: number): boolean {
    const { rolling } = this.#limits;
    if (rolling !== 0 && now - this.#issued > rolling * 0.75) {
      this.#issued = this.#seen = now;
      return true;
    }
    if (now - this.#seen < this.#touch) return false;
    this.#seen = now;
    return true;
  }
}

/** Plays requests at the given seconds after the sign-in; both must agree on every one of them. */
async function play(limits: Limits, moments: readonly number[]): Promise<number> {
  let now = 1_800_000_000;
  const start = now;
  const storage = new CookieStorage(undefined, () => now * 1000);
  const guard = openGuard(
    {
      idling_timeout: limits.idling,
      rolling_timeout: limits.rolling,
      absolute_timeout: limits.absolute,
    },
    storage,
  );
  const visitor = new Visitor();
  await visitor.visit(guard, signInAs(alice));
  const model = new Model(limits, now);
  for (const moment of moments) {
    now = start + moment;
    const decision = await visitor.visit(guard);
    const what = `${JSON.stringify(limits)} at +${moment} of ${moments.join(',')}`;
    if (!model.isAlive(now)) {
      assert.equal(decision.kind, 'nobody', what);
      assert.equal(visitor.jar.size, 0, what);
      return moment;
    }
    assert.ok(decision.kind === 'session', what);
    assert.equal(decision.cookies.length > 0, model.use(now), what);
  }
  return Infinity;
}

test('all small limits, with a request every so many seconds', async () => {
  const values = [0, 1, 2, 3, 4, 8];
  let ends = 0;
  for (const idling of values) {
    for (const rolling of values) {
      for (const absolute of values) {
        for (const gap of [1, 3]) {
          const moments = Array.from({ length: Math.ceil(15 / gap) }, (_, i) => (i + 1) * gap);
          if ((await play({ idling, rolling, absolute }, moments)) !== Infinity) ends += 1;
        }
      }
    }
  }
  assert.ok(ends > 250, `${ends} of 432 sessions ended`);
});

test('any limits, any moments', async () => {
  const limit = fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 400 }));
  await fc.assert(
    fc.asyncProperty(
      fc.record({ idling: limit, rolling: limit, absolute: limit }),
      fc.array(fc.integer({ min: 0, max: 60 }), { minLength: 1, maxLength: 25 }),
      async (limits, gaps) => {
        let at = 0;
        await play(
          limits,
          gaps.map((gap) => (at += gap)),
        );
      },
    ),
    runs(300),
  );
});
