import type { Command } from './command.ts';

interface Entry {
  readonly summary: string;
  /** What may follow the command in place of an option. */
  readonly words?: readonly string[];
  /** Each command loads what it needs, and only when it is called. */
  readonly load: () => Promise<{ readonly command: Command }>;
}

/** Every command, in the order of the help. */
export const COMMANDS: ReadonlyMap<string, Entry> = new Map([
  [
    'portal-conf',
    {
      summary: "translate portal_session_conf or the bundled session plugin's configuration",
      load: () => import('./portal-conf.ts'),
    },
  ],
  [
    'secret',
    {
      summary: 'make a secret, or check one',
      words: ['generate', 'check'],
      load: () => import('./secret.ts'),
    },
  ],
  ['migrate', { summary: 'create or upgrade the tables', load: () => import('./migrate.ts') }],
  ['list', { summary: 'list living sessions', load: () => import('./list.ts') }],
  ['show', { summary: 'show one session', load: () => import('./show.ts') }],
  ['revoke', { summary: 'end sessions, on every node', load: () => import('./revoke.ts') }],
  ['audit', { summary: 'tell what happened to sessions', load: () => import('./audit.ts') }],
  ['prune', { summary: 'delete expired sessions', load: () => import('./prune.ts') }],
  ['stats', { summary: 'count what the tables hold', load: () => import('./stats.ts') }],
  ['inspect', { summary: 'explain a cookie', load: () => import('./inspect.ts') }],
  [
    'doctor',
    { summary: 'examine database, secret and gateway', load: () => import('./doctor.ts') },
  ],
  ['schema', { summary: 'print the schema for Kong', load: () => import('./schema.ts') }],
  [
    'completion',
    {
      summary: 'print a completion script for a shell',
      words: ['bash', 'zsh', 'fish'],
      load: () => import('./completion.ts'),
    },
  ],
]);
