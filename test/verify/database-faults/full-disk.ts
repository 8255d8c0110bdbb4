import { execFile } from 'node:child_process';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Cleanup } from '../../e2e/support/cleanup.ts';
import { query } from '../../support/chaos/sql.ts';
import type { Trouble } from './world.ts';

const execute = promisify(execFile);

/** Room for a new Postgres with the smallest segments. */
const SIZE = '256m';

export interface SmallDisk {
  readonly trouble: Trouble;
  /** Where temporary folders go while the disk is used. */
  readonly path: string;
  close(): Promise<void>;
}

/** A disk of a few megabytes in memory; `undefined` where this user may not mount one. */
export async function mountSmallDisk(): Promise<SmallDisk | undefined> {
  const cleanup = new Cleanup();
  return cleanup.around(async () => {
    const path = await mkdtemp(join(tmpdir(), 'session-guard-disk-'));
    cleanup.defer(() => rm(path, { recursive: true, force: true }));
    try {
      await execute('mount', ['-t', 'tmpfs', '-o', `size=${SIZE},mode=1777`, 'tmpfs', path]);
    } catch {
      await cleanup.run();
      return undefined;
    }
    cleanup.defer(() => execute('umount', ['--lazy', path]));
    const ballast = join(path, 'ballast');
    const trouble: Trouble = {
      name: 'disk full',
      begin: async ({ url }) => {
        await fill(ballast);
        await assertFull(url);
      },
      end: async ({ postgres, url }) => {
        await rm(ballast);
        // Without room for its log the server gives up; somebody has to start it then.
        await query(url, 'select').catch(() => postgres.restart());
      },
      isTotal: false,
    };
    return { trouble, path, close: () => cleanup.run() };
  });
}

/** Or else the trouble would be none. */
async function assertFull(url: string): Promise<void> {
  const refusal = await query(url, 'create table filler as select generate_series(1, 1e6)').then(
    () => 'nothing',
    ({ code }: { code?: string }) => code,
  );
  if (refusal === 'nothing') throw new Error('there is room left on the disk');
}

/** Writes until there is no room for another byte. */
async function fill(path: string): Promise<void> {
  const file = await open(path, 'w');
  try {
    for (let size = 1024 * 1024; size >= 1;) {
      const isWritten = await file.write(Buffer.alloc(size)).then(
        ({ bytesWritten }) => bytesWritten === size,
        () => false,
      );
      if (!isWritten) size = Math.floor(size / 16);
    }
  } finally {
    await file.close();
  }
}
