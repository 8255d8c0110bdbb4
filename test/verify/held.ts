import assert from 'node:assert/strict';
import { isHeld } from './program.ts';
import type { Figure } from './program.ts';

const isBounded = ({ atMost, atLeast }: Figure): boolean => (atMost ?? atLeast) !== undefined;

/** Of the figures of a run there are some that have a bound, and each keeps to its own. */
export function assertHeld(figures: readonly Figure[]): void {
  assert.ok(figures.some(isBounded), 'no figure has a bound');
  assert.deepEqual(
    figures.filter((figure) => !isHeld(figure)),
    [],
  );
}
