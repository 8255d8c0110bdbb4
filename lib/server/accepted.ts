import { Socket } from 'node:net';

/**
 * Node allocates 64 KiB for each read of an accepted socket, and shrinks and collects them again: a fifth of what a
 * request costs this server (bench/README.md). Sockets that connect may bring a buffer (`onread`), accepted ones may not, so
 * another socket is put around the same handle. Neither the handle nor the option is documented: where one is missing
 * the socket is used as it came, and no more is lost than time.
 */
interface Internals {
  _handle?: { useUserBuffer?: unknown } | null;
}

/** One for all: what is in it is copied before anything else is read. */
const buffer = new Uint8Array(64 * 1024);

/**
 * The same connection, read through a buffer that is used again.
 * @param accepted paused (`pauseOnConnect`), and not to be used any more
 * @param received called after each chunk that the buffer has brought
 */
export function withBuffer(accepted: Socket, received: () => void): Socket {
  const internals = accepted as Internals;
  const handle = internals._handle;
  if (typeof handle?.useUserBuffer !== 'function') return accepted.resume();
  internals._handle = null;
  const options = { handle, onread: { buffer, callback: emit } };
  const socket = new Socket(options as ConstructorParameters<typeof Socket>[0]);
  function emit(length: number): void {
    socket.emit('data', Buffer.from(buffer.subarray(0, length)));
    received();
  }
  return socket;
}
