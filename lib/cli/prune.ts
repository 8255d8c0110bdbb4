import { prune } from '../prune.ts';
import { Store } from '../store.ts';
import { EXIT, parse } from './command.ts';
import type { Command, Io } from './command.ts';
import { DATABASE_HELP, DATABASE_OPTIONS, withTables } from './database.ts';
import { json, plural } from './format.ts';

const help = `session-guard prune [--dry-run] [options]

Deletes sessions that have expired, in small batches. Nodes do this by themselves a few times a minute; this is for
after an outage, or from cron where no node runs. Living sessions are never touched, so it does not ask.

  --dry-run               only count
  --json
${DATABASE_HELP}`;

/** One turn deletes up to 250,000; more turns than this would be a loop. */
const TURNS = 10_000;

export const command: Command = {
  help,
  async run(argv, io) {
    const { values } = parse(argv, {
      ...DATABASE_OPTIONS,
      'dry-run': { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    });
    const isDryRun = values['dry-run'];
    const report = await withTables(values, io, async (store, database) => {
      if (isDryRun) return { expired: await store.countExpired() };
      const pruned = await pruneAll(new Store(database), io);
      return { pruned, expired: await store.countExpired() };
    });
    io.stdout.write(values.json ? json({ ...report, dry_run: isDryRun }) : sentence(report));
    return EXIT.done;
  },
};

async function pruneAll(store: Store, io: Io): Promise<number> {
  let total = 0;
  for (let turn = 0; turn < TURNS; turn++) {
    const sessions = await prune(store);
    if (sessions === 0) break;
    total += sessions;
    if (io.stderr.isTTY) io.stderr.write(`\r${total} pruned`);
  }
  if (io.stderr.isTTY && total > 0) io.stderr.write('\n');
  return total;
}

function sentence({ pruned, expired }: { pruned?: number; expired: number }): string {
  if (pruned === undefined) return `${plural(expired, 'expired session')} would be deleted\n`;
  // A node that is at it holds the lock, and what it has in hand is not ours to delete.
  const rest = expired > 0 ? `; ${expired} left to a node that is pruning now` : '';
  return `${plural(pruned, 'expired session')} deleted${rest}\n`;
}
