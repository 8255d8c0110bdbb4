import type { Stats } from '../admin-store.ts';
import { EXIT, parse } from './command.ts';
import type { Command } from './command.ts';
import { DATABASE_HELP, DATABASE_OPTIONS, withTables } from './database.ts';
import { isoTime, json, painter, record } from './format.ts';

const help = `session-guard stats [options]

Numbers of the whole table. Sessions that live in cookies alone are in no table and not counted.

  --json
${DATABASE_HELP}`;

export const command: Command = {
  help,
  async run(argv, io) {
    const { values } = parse(argv, {
      ...DATABASE_OPTIONS,
      json: { type: 'boolean', default: false },
    });
    const stats = await withTables(values, io, (store) => store.stats());
    io.stdout.write(
      values.json ? json(toJson(stats)) : record(lines(stats), painter(io.stdout, io.env)),
    );
    return EXIT.done;
  },
};

const toJson = (stats: Stats) => ({
  sign_ins: stats.signIns,
  remembered: stats.remembered,
  consumers: stats.consumers,
  seen_last_hour: stats.seenLastHour,
  seen_last_day: stats.seenLastDay,
  oldest: isoTime(stats.oldest) ?? null,
  expired: stats.expired,
  revoked: stats.revoked,
  cutoffs: stats.cutoffs,
  bytes: stats.bytes,
  audiences: stats.audiences.map(({ audience, signIns }) => ({ audience, sign_ins: signIns })),
});

const lines = (stats: Stats): [string, string][] => [
  ['sign-ins alive', String(stats.signIns)],
  ['  remembered', String(stats.remembered)],
  ['  of consumers', String(stats.consumers)],
  ['  seen in the last hour', String(stats.seenLastHour)],
  ['  seen in the last day', String(stats.seenLastDay)],
  ['  oldest sign-in', isoTime(stats.oldest) ?? 'none'],
  ['expired, to be pruned', String(stats.expired)],
  ['revoked, to be deleted', String(stats.revoked)],
  ['cut-offs', String(stats.cutoffs)],
  ['table and indexes', `${(stats.bytes / 1024 / 1024).toFixed(1)} MiB`],
  ...stats.audiences.map(({ audience, signIns }): [string, string] => [
    `audience ${audience}`,
    String(signIns),
  ]),
];
