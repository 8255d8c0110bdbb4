/**
 * How often a property is tried, and on which cases. A test run tries the same ones each time, since chance must not
 * fail a change that has nothing to do with it; `npm run verify:properties` tries others.
 */
export const runs = (numRuns: number) => ({
  numRuns,
  seed: Number(process.env['PROPERTY_SEED'] ?? 20_261_122),
});
