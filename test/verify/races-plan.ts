import fc from 'fast-check';

/** A request with this header is no activity: it renews nothing. */
export const IDLE_EXEMPT = 'x-background';

/** What one of the requests does that meet. */
export type Deed =
  | 'use'
  /** A use whose response never arrives. */
  | 'lost-use'
  /** A tab that comes back after the browser had ended: with the persistent cookie only. */
  | 'restore'
  | 'logout'
  /** By the same person in another browser. */
  | 'end-others'
  /** All sessions of the person, by the browser in question. */
  | 'end-all'
  /** All sessions of the person, by the operator. */
  | 'end-consumer'
  /** Another person signs in in the same browser. */
  | 'take-over';

export interface Step {
  readonly deed: Deed;
  readonly node: number;
  /** Milliseconds after the first. */
  readonly delay: number;
}

export interface Plan {
  /** Where the sign-in took place. */
  readonly node: number;
  readonly steps: readonly Step[];
  /** The nodes that know the session when the race begins. */
  readonly warm: readonly number[];
  /** Milliseconds until the session's absolute limit when the race begins. */
  readonly expiresIn: number | undefined;
}

const node = fc.nat({ max: 3 });

const deed: fc.Arbitrary<Deed> = fc.oneof(
  { weight: 8, arbitrary: fc.constant('use' as const) },
  { weight: 2, arbitrary: fc.constant('lost-use' as const) },
  { weight: 2, arbitrary: fc.constant('restore' as const) },
  { weight: 2, arbitrary: fc.constant('logout' as const) },
  {
    weight: 2,
    arbitrary: fc.constantFrom<Deed[]>('end-others', 'end-all', 'end-consumer', 'take-over'),
  },
);

const step = (deeds: fc.Arbitrary<Deed>): fc.Arbitrary<Step> =>
  fc.record({ deed: deeds, node, delay: fc.constantFrom(0, 0, 0, 0, 1, 2, 4) });

const plan = (deeds: fc.Arbitrary<Deed>, expiresIn: fc.Arbitrary<number | undefined>) =>
  fc.record({
    node,
    steps: fc.array(step(deeds), { minLength: 2, maxLength: 8 }),
    warm: fc.uniqueArray(node, { maxLength: 2 }),
    expiresIn,
  });

/** Most rounds mix everything; some end nothing, so that something is there to be lost; some meet the session's limit. */
export const PLAN: fc.Arbitrary<Plan> = fc.oneof(
  { weight: 6, arbitrary: plan(deed, fc.constant(undefined)) },
  {
    weight: 3,
    arbitrary: plan(fc.constantFrom('use', 'use', 'lost-use', 'restore'), fc.constant(undefined)),
  },
  {
    weight: 1,
    arbitrary: plan(fc.constantFrom('use', 'lost-use'), fc.integer({ min: 0, max: 20 })),
  },
);
