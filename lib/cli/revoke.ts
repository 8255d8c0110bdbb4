import type { Selector } from '../admin-store.ts';
import { revoke } from '../revoke.ts';
import { CliError, EXIT, parse, usageError, uuid } from './command.ts';
import type { Command } from './command.ts';
import { confirm } from './confirm.ts';
import { DATABASE_HELP, DATABASE_OPTIONS, withBackend } from './database.ts';
import { isoTime, json, plural } from './format.ts';

const help = `session-guard revoke <selection> [--dry-run | --yes] [options]

Ends sessions. Nodes that listen refuse them at once, one that cannot be told after cache_ttl at the latest.
Counts first and asks. The selection is one of:

  <handle>                one sign-in
  --others-of <handle>    all other sign-ins of the same consumer
  --consumer <id>         all sign-ins of a consumer
  --consumer <id> --credential <id>
                          all that began with one credential of a consumer
  --before <time>         all that were authenticated at this moment or before it (ISO 8601 with a zone)
  --all                   all there are
  --family <id>           one sign-in by the family that inspect shows: for sessions in cookies alone

All but the first two also reach sessions that live in cookies alone, where storage cookie has postgres; these are
in no table and not counted.

  --dry-run               only count
  --yes                   do not ask
  --reason <words>        for the audit
  --json
${DATABASE_HELP}
Exit code 3: the handle leads to no living sign-in, or a dry run counted none.
`;

const OPTIONS = {
  ...DATABASE_OPTIONS,
  'others-of': { type: 'string' },
  consumer: { type: 'string' },
  credential: { type: 'string' },
  before: { type: 'string' },
  family: { type: 'string' },
  all: { type: 'boolean', default: false },
  'dry-run': { type: 'boolean', default: false },
  yes: { type: 'boolean', default: false },
  reason: { type: 'string', default: 'revoke' },
  json: { type: 'boolean', default: false },
} as const;

type Values = ReturnType<typeof parse<typeof OPTIONS>>['values'];

export const command: Command = {
  help,
  async run(argv, io) {
    const { values, positionals } = parse(argv, OPTIONS, 1);
    const selector = selectorOf(values, positionals[0], Date.now());
    const isDryRun = values['dry-run'];
    return withBackend(values, io, async (backend, store) => {
      const count = await store.count(selector);
      const isByHandle = selector.kind === 'handle' || selector.kind === 'others';
      if (count === 0 && isByHandle) throw new CliError('no such living sign-in', EXIT.nothing);
      if (!isDryRun) {
        const what = `This ends ${plural(count, 'sign-in')} ${describe(selector)}, on every node.`;
        await confirm(`${what} Go ahead?`, values.yes, io);
        await revoke(selector, backend, store, values.reason);
      }
      const report = { selection: selector.kind, sign_ins: count, dry_run: isDryRun };
      const verb = isDryRun ? 'would be ended' : 'ended';
      io.stdout.write(
        values.json ? json(report) : `${plural(count, 'sign-in')} ${describe(selector)} ${verb}\n`,
      );
      return isDryRun && count === 0 ? EXIT.nothing : EXIT.done;
    });
  },
};

function selectorOf(values: Values, handle: string | undefined, now: number): Selector {
  const { consumer, credential, before, family, all, 'others-of': others } = values;
  const given = [handle, others, consumer, before, family].filter((value) => value !== undefined);
  if (given.length + Number(all) !== 1) {
    throw usageError(
      'needs exactly one of <handle>, --others-of, --consumer, --before, --family, --all',
    );
  }
  if (credential !== undefined && consumer === undefined) {
    throw usageError('--credential needs --consumer too');
  }
  if (handle !== undefined) return { kind: 'handle', handle: uuid('the handle', handle) };
  if (others !== undefined) return { kind: 'others', handle: uuid('--others-of', others) };
  if (family !== undefined) return { kind: 'family', family: uuid('--family', family) };
  if (before !== undefined) return { kind: 'before', moment: momentOf(before, now) };
  if (consumer === undefined) return { kind: 'all' };
  if (consumer === '') throw usageError('--consumer must not be empty');
  if (credential === undefined) return { kind: 'consumer', consumerId: consumer };
  if (credential === '') throw usageError('--credential must not be empty');
  return { kind: 'credential', consumerId: consumer, credentialId: credential };
}

/** With a zone, since a moment in the wrong one would end too much or too little. */
const ISO_8601 = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,3})?)?(Z|[+-]\d\d:?\d\d)$/;

function momentOf(text: string, now: number): number {
  const moment = ISO_8601.test(text) ? Date.parse(text.replace(' ', 'T')) : NaN;
  if (Number.isNaN(moment)) throw usageError('--before must look like 2026-01-31T09:30:00Z');
  if (moment > now) throw usageError('--before lies in the future; --all ends what there is now');
  return moment;
}

function describe(selector: Selector): string {
  switch (selector.kind) {
    case 'handle':
      return `with the handle ${selector.handle}`;
    case 'others':
      return `of the same consumer as ${selector.handle}`;
    case 'family':
      return `of the family ${selector.family}`;
    case 'consumer':
      return `of consumer ${selector.consumerId}`;
    case 'credential':
      return `that began with credential ${selector.credentialId}`;
    case 'before':
      return `from ${isoTime(selector.moment)} or before`;
    case 'all':
      return 'of everybody';
  }
}
