import { BlockList, isIP } from 'node:net';

/** Where the endpoint listens. */
export interface Address {
  /** An IP address, or `localhost`. */
  readonly host: string;
  /** 0 = any free one. */
  readonly port: number;
}

/**
 * `127.0.0.1:9114`, `[::1]:9114` or `localhost:9114`. Other names are refused: what they lead to may change.
 * @throws Error that tells what is wrong with the option
 */
export function parseAddress(option: string, value: string): Address {
  const [, bracketed, plain, digits = ''] =
    /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(value) ?? [];
  const host = bracketed ?? plain ?? '';
  const port = Number(digits);
  const isHost =
    bracketed === undefined ? host === 'localhost' || isIP(host) === 4 : isIP(host) === 6;
  if (!isHost || digits === '' || port > 65_535) {
    throw new Error(`${option} must be an IP address and a port, such as 127.0.0.1:9114`);
  }
  return { host, port };
}

export const formatAddress = ({ host, port }: Address): string =>
  `${host.includes(':') ? `[${host}]` : host}:${port}`;

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

/** Whether only this machine (or pod) can reach it. */
export const isLoopback = (host: string): boolean =>
  host === 'localhost' || LOOPBACK.check(host, isIP(host) === 6 ? 'ipv6' : 'ipv4');

/**
 * Whether a Host header can come from a page that means to be here. A page of another site reaches loopback under a
 * name of its own whose address it changes (DNS rebinding); it has no say over what an IP address leads to.
 */
export function isOwnName(header: string | undefined): boolean {
  const [, bracketed, plain = ''] = /^(?:\[([^\]]+)\]|([^:]+))(?::\d+)?$/.exec(header ?? '') ?? [];
  if (bracketed !== undefined) return isIP(bracketed) === 6;
  return plain.toLowerCase() === 'localhost' || isIP(plain) === 4;
}
