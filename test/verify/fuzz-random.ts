/** Random choices that follow from a seed (Marsaglia's xorshift32), so that a run can be repeated. */
export class Random {
  #state: number;

  constructor(seed: number) {
    // Zero would stay zero; neighbouring seeds should not begin alike.
    this.#state = Math.imul(seed + 1, 0x9e3779b1) | 1;
  }

  /** A whole number from 0 up to, and without, `bound`. */
  below(bound: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) % bound;
  }

  pick<T>(choices: readonly T[]): T {
    if (choices.length === 0) throw new TypeError('nothing to choose from');
    return choices[this.below(choices.length)] as T;
  }

  /** So many characters of the alphabet. */
  text(length: number, alphabet: string): string {
    let text = '';
    for (let i = 0; i < length; i++) text += alphabet[this.below(alphabet.length)];
    return text;
  }

  /** So many octets, as latin1. */
  octets(length: number): string {
    let text = '';
    for (let i = 0; i < length; i++) text += String.fromCharCode(this.below(256));
    return text;
  }
}
