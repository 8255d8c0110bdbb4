import { Line } from './driver.ts';
import type { World } from './driver.ts';

export interface Drive {
  readonly socket: string;
  readonly world: World;
  readonly connections: number;
  /** How many. */
  readonly requests: number;
  /** Cookie headers, in turn. */
  readonly cookies: readonly string[];
  /** Whether each request must end with an identity, or each without. */
  readonly isSignedIn: boolean;
  /** Requests per second, whether or not the earlier ones are answered; without it as many as can be. */
  readonly rate?: number;
}

/** Sends requests straight to a plugin server. Resolves with how long they took, in seconds. */
export async function drive(asked: Drive): Promise<number> {
  const { socket, world, connections, rate } = asked;
  const lines = await Promise.all(
    Array.from({ length: connections }, () => Line.open(socket, world)),
  );
  try {
    const startedAt = performance.now();
    await (rate === undefined ? saturate(lines, asked) : pace(lines, asked, rate));
    return (performance.now() - startedAt) / 1000;
  } finally {
    for (const line of lines) line.close();
  }
}

type Next = () => Buffer;

function ring({ cookies, world }: Drive): Next {
  const encoded = cookies.map((cookie) => Line.view(cookie, world));
  let at = 0;
  return () => encoded[at++ % encoded.length] ?? Line.view('', world);
}

/** Each connection asks again as soon as it has its answer. */
function saturate(lines: readonly Line[], asked: Drive): Promise<void> {
  const { requests, isSignedIn } = asked;
  const next = ring(asked);
  let [left, answered] = [requests, 0];
  return new Promise((resolve, reject) => {
    const ask = (line: Line): void => {
      if (left-- <= 0) return;
      line.request(next(), (isIdentified) => {
        if (isIdentified !== isSignedIn) return reject(wrongUser(isIdentified));
        answered += 1;
        if (answered === requests) resolve();
        else ask(line);
      });
    };
    for (const line of lines) line.onClose(() => reject(closed()));
    for (const line of lines) ask(line);
  });
}

/** Requests at their moments; those for which no connection is free wait for one. */
function pace(lines: Line[], work: Drive, rate: number): Promise<void> {
  const { requests, isSignedIn } = work;
  const next = ring(work);
  const free = [...lines];
  const startedAt = performance.now();
  let [asked, answered] = [0, 0];
  let ticks: NodeJS.Timeout | undefined;
  const all = new Promise<void>((resolve, reject) => {
    const ask = (line: Line): void =>
      line.request(next(), (isIdentified) => {
        if (isIdentified !== isSignedIn) reject(wrongUser(isIdentified));
        answered += 1;
        if (answered === requests) resolve();
        free.push(line);
      });
    for (const line of lines) line.onClose(() => reject(closed()));
    ticks = setInterval(() => {
      const due = Math.min(requests, ((performance.now() - startedAt) / 1000) * rate);
      for (; asked < due && free.length > 0; asked++) ask(free.pop() as Line);
    }, 1);
  });
  return all.finally(() => clearInterval(ticks));
}

const closed = (): Error => new Error('the plugin server has closed a connection');
const wrongUser = (isIdentified: boolean): Error =>
  new Error(isIdentified ? 'somebody was signed in' : 'nobody was signed in');
