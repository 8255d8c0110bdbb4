/** The middle one, or the mean of the two in the middle. Throws on an empty list. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  if (low === undefined || high === undefined) throw new TypeError('the median of nothing');
  return (low + high) / 2;
}

/**
 * The median of the ratios of what was measured in the same round: both sides met the same machine, whatever else it
 * had to do then. Lists of equal length, a round at each index.
 */
export function medianRatio(values: readonly number[], bases: readonly number[]): number {
  if (values.length !== bases.length) throw new TypeError('ratios of different rounds');
  return median(values.map((value, round) => value / (bases[round] ?? NaN)));
}
