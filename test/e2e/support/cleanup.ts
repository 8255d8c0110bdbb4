/** Ends of things that were started, run in reverse order, all of them even if one fails. */
export class Cleanup {
  readonly #ends: (() => Promise<unknown>)[] = [];

  defer(end: () => Promise<unknown>): void {
    this.#ends.push(end);
  }

  async run(): Promise<void> {
    const errors: unknown[] = [];
    for (const end of this.#ends.splice(0).toReversed()) {
      await end().catch((error: unknown) => errors.push(error));
    }
    if (errors.length > 0) throw new AggregateError(errors, 'not everything was cleaned up');
  }

  /** Runs `start`; if it fails, what it had started ends. */
  async around<T>(start: () => Promise<T>): Promise<T> {
    try {
      return await start();
    } catch (error) {
      await this.run();
      throw error;
    }
  }
}
