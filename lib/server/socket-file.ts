import { randomBytes } from 'node:crypto';
import { existsSync, lstatSync, renameSync, rmSync } from 'node:fs';
import { once } from 'node:events';
import type { Server } from 'node:net';
import { dirname, join } from 'node:path';

/** sockaddr_un.sun_path on Linux, without its final NUL. */
const MAX_PATH_BYTES = 107;

/** The path of a unix socket while it is ours. */
export class SocketFile {
  readonly path: string;
  readonly #device: bigint;
  readonly #inode: bigint;

  constructor(path: string, device: bigint, inode: bigint) {
    this.path = path;
    this.#device = device;
    this.#inode = inode;
  }

  /** `taken`: another server has bound the path since. */
  status(): 'ours' | 'taken' | 'missing' {
    const found = lstatSync(this.path, { bigint: true, throwIfNoEntry: false });
    if (!found) return 'missing';
    return found.ino === this.#inode && found.dev === this.#device ? 'ours' : 'taken';
  }

  remove(): void {
    if (this.status() === 'ours') rmSync(this.path, { force: true });
  }
}

/**
 * Makes the server listen on the path, for this user only: whoever can connect can send
 * configurations. A socket that is there already belongs to a dead server or to the one before us
 * (Kong starts the next one at a reload before the old one has ended). It is replaced by a rename,
 * so that Kong finds a server on the path at any moment.
 */
export async function bindSocket(server: Server, path: string): Promise<SocketFile> {
  const directory = dirname(path);
  const temporary = join(directory, `.${randomBytes(4).toString('hex')}`);
  if (!existsSync(directory)) throw new Error(`${directory} does not exist (--prefix, --socket)`);
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() === false) {
    throw new Error(`${path} exists and is not a socket`);
  }
  for (const name of [path, temporary]) {
    if (Buffer.byteLength(name) > MAX_PATH_BYTES) throw new Error(`the path ${path} is too long`);
  }
  await listenPrivately(server, temporary);
  try {
    const { dev, ino } = lstatSync(temporary, { bigint: true });
    renameSync(temporary, path);
    return new SocketFile(path, dev, ino);
  } catch (err) {
    server.close();
    throw err;
  }
}

async function listenPrivately(server: Server, path: string): Promise<void> {
  const umask = process.umask(0o177);
  try {
    server.listen(path); // binds before it returns
  } finally {
    process.umask(umask);
  }
  await once(server, 'listening');
}
