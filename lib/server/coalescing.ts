/** Requests under way at once, from which on a request waits for others anyway. */
const MANY = 4;
/** What one turn of the event loop may bring and still be little. */
const FEW = 4;

/** Never written to: to wait for it is to sleep. */
const never = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));

/** Stops this thread. */
function sleep(microseconds: number): void {
  Atomics.wait(never, 0, 0, microseconds / 1000);
}

/**
 * Under load, takes in one go what Kong sends, as network cards coalesce interrupts. Kong sends the length and the bytes of a
 * frame apart, and each answer by itself (rpc/pb_rpc.lua): a server that sleeps until something comes is woken some four
 * times for a request, and each time Kong's worker has to wake it and may lose its own CPU to it. A turn of the event loop
 * that brought little while much is under way is therefore followed by a short time in which nothing wakes the server.
 * Where fewer requests are under way than that none of them waits.
 */
export class Coalescing {
  readonly #host: { readonly running: number };
  readonly #microseconds: number;
  readonly #pause: (microseconds: number) => void;
  #received = 0;

  /** @param microseconds of a pause; 0: there is none */
  constructor(host: { readonly running: number }, microseconds: number, pause = sleep) {
    this.#host = host;
    this.#microseconds = microseconds;
    this.#pause = pause;
  }

  /** Something came from Kong, and has been taken in. */
  readonly received = (): void => {
    if (this.#microseconds === 0 || this.#host.running < MANY) return;
    this.#received += 1;
    if (this.#received === 1) setImmediate(this.#endTurn);
  };

  readonly #endTurn = (): void => {
    const isLittle = this.#received <= FEW;
    this.#received = 0;
    if (isLittle && this.#host.running >= MANY) this.#pause(this.#microseconds);
  };
}
