import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Cleanup } from '../test/e2e/support/cleanup.ts';
import { startPostgres } from '../test/support/postgres.ts';
import type { Options } from './options.ts';
import type { Cell, PeerName, StorageName } from './plan.ts';
import { openRealKong, realKong, signIn } from './real-kong.ts';
import { Mint } from './sessions.ts';
import { newSecret } from './site.ts';
import type { Common } from './site.ts';
import { openStandIns } from './stand-in.ts';
import type { Targets } from './target.ts';
import { startUpstream } from './upstream.ts';

/** A session for each of a few users, and they come again and again. */
const WARM = 16;

type Cookies = Readonly<Record<StorageName, readonly string[]>>;

/** Everything that a run needs, started. */
export interface Bench {
  readonly common: Common;
  readonly targets: Targets;
  readonly mint: Mint;
  /**
   * Cookie headers of living sessions, good for a minute: then one with storage `cookie` is sealed anew to carry the use,
   * and the load generator takes no cookies.
   */
  warm(peer: PeerName, storage: StorageName): Promise<readonly string[]>;
}

/** What is wanted for these cells, in front of a real Kong or of stand-ins. */
export async function openBench(
  cells: readonly Cell[],
  { options, cleanup }: { options: Options; cleanup: Cleanup },
): Promise<Bench> {
  const folder = await mkdtemp(join(tmpdir(), 'session-guard-bench-'));
  cleanup.defer(() => rm(folder, { recursive: true, force: true }));
  const url = await openDatabase(cleanup);
  const common = commonOf(await openUpstream(cleanup), url);
  const mint = await Mint.open(url, common.configs, common.owner);
  cleanup.defer(() => mint.close());
  const rows = await mint.mint({ storage: 'kong', count: WARM });
  const own = async (storage: StorageName): Promise<readonly string[]> =>
    storage === 'kong' ? rows : mint.mint({ storage, count: WARM });
  const kong = realKong();
  if (kong === undefined) {
    const peers = [...new Set(cells.map(({ peer }) => peer))];
    const targets = await openStandIns(peers, common, { folder, cleanup });
    return { common, targets, mint, warm: (_, storage) => own(storage) };
  }
  const targets = await openRealKong(kong, common, { options, cleanup });
  const bundled = await bundledCookies(targets, common);
  const warm = async (peer: PeerName, storage: StorageName): Promise<readonly string[]> =>
    peer === 'bundled' ? bundled[storage] : own(storage);
  return { common, targets, mint, warm };
}

async function bundledCookies({ bundled }: Targets, { key }: Common): Promise<Cookies> {
  if (bundled === undefined) throw new TypeError('a real Kong has its bundled plugin');
  const many = { key, count: WARM };
  return {
    kong: await signIn(bundled, 'kong', many),
    cookie: await signIn(bundled, 'cookie', many),
  };
}

/** One of our own, unless the environment names those that a real Kong reaches. */
async function openDatabase(cleanup: Cleanup): Promise<string> {
  const given = process.env['SESSIONS_DATABASE_URL'];
  if (realKong() && given) return given;
  const postgres = await startPostgres();
  cleanup.defer(() => postgres.stop());
  return postgres.newDatabase();
}

async function openUpstream(cleanup: Cleanup): Promise<string> {
  const upstream = await startUpstream();
  cleanup.defer(() => upstream.close());
  return upstream.url;
}

function commonOf(upstreamUrl: string, url: string): Common {
  const secret = newSecret();
  const run = randomBytes(4).toString('hex');
  return {
    secret,
    configs: {
      kong: { secret, storage: 'kong', postgres: { url } },
      cookie: { secret, storage: 'cookie' },
    },
    upstreamUrl,
    owner: { consumerId: randomUUID(), credentialId: randomUUID(), username: `alice-${run}` },
    key: randomBytes(16).toString('hex'),
    anonymous: { id: randomUUID(), username: `anonymous-${run}` },
    run,
  };
}
