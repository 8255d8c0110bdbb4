import type { Forger } from '../e2e/support/forger.ts';
import type { Random } from './fuzz-random.ts';

/** What an attacker has who knows everything but a living session, and the secret beside. */
export interface Loot {
  readonly storage: 'kong' | 'cookie';
  /** Values of genuine cookies, each of which is one cookie. */
  readonly genuine: readonly string[];
  /** Genuine values that were cut into chunks: the pairs of one session each. */
  readonly chunked: readonly (readonly string[])[];
  /** Seals under the right secret for the right realm. */
  readonly forger: Forger;
  /** Seals under the right secret for other realms. */
  readonly strangers: readonly Forger[];
  /** Seals under another secret. */
  readonly outsider: Forger;
  /** Whom a forged session of storage `cookie` names. */
  readonly consumerId: string;
}

/** Makes a Cookie header. */
export type Recipe = (loot: Loot, random: Random) => string;

export const NAME = 'session';
export const BASE64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

export const pair = (value: string, name = NAME): string => `${name}=${value}`;
export const token = ({ genuine }: Loot, random: Random): string => random.pick(genuine);
export const replaced = (text: string, at: number, by: string, count = 1): string =>
  text.slice(0, at) + by + text.slice(at + count);
