import type { Socket } from 'node:net';

/** How many bytes of a connection tell its protocol. */
export const HEAD_BYTES = 4;

export type Ask = () => void;

/** One protocol of Kong's plugin servers. */
export interface Transport {
  /**
   * Whether a connection that begins with these bytes (HEAD_BYTES at least) speaks this protocol.
   */
  accepts(head: Buffer): boolean;
  /**
   * Serves a connection from its first bytes on. The caller listens to the socket's `error`; the
   * transport may end or destroy the socket at any time.
   *
   * Returns how to ask Kong to give the connection up, if the protocol has a way that harms no
   * request whatever Kong is doing. Kong may overlook it: ask again.
   */
  serve(socket: Socket, first: Buffer): Ask | undefined;
}
