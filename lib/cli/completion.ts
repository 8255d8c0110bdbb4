import { EXIT, parse, usageError } from './command.ts';
import type { Command } from './command.ts';
import { COMMANDS } from './commands.ts';
import { json } from './format.ts';

const help = `session-guard completion bash|zsh|fish

Prints a script that completes commands and options. For this shell, and for those to come:

  bash    source <(session-guard completion bash)
          session-guard completion bash > /etc/bash_completion.d/session-guard
  zsh     source <(session-guard completion zsh)
  fish    session-guard completion fish > ~/.config/fish/completions/session-guard.fish

  --json                  the commands with their words and options
`;

/** One command as a shell has to know it. */
interface Completion {
  readonly name: string;
  readonly summary: string;
  /** Words of its own and options, in the order of its help. */
  readonly words: readonly string[];
}

const SCRIPTS = { bash, zsh, fish } as const;

export const command: Command = {
  help,
  async run(argv, io) {
    const { values, positionals } = parse(argv, { json: { type: 'boolean', default: false } }, 1);
    const completions = await completionsOf();
    if (values.json) {
      io.stdout.write(json({ commands: completions }));
      return EXIT.done;
    }
    const [shell = ''] = positionals;
    if (!isShell(shell)) throw usageError('for which shell? bash, zsh or fish');
    io.stdout.write(SCRIPTS[shell](completions));
    return EXIT.done;
  },
};

const isShell = (name: string): name is keyof typeof SCRIPTS => Object.hasOwn(SCRIPTS, name);

/** The options are those of the helps, which name each of them. */
async function completionsOf(): Promise<Completion[]> {
  const entries = [...COMMANDS].map(async ([name, { summary, words = [], load }]) => {
    const options = (await load()).command.help.match(/(?<![\w-])--[a-z][a-z-]+/g) ?? [];
    return { name, summary, words: [...words, ...new Set([...options, '--help'])] };
  });
  return Promise.all(entries);
}

const namesOf = (completions: readonly Completion[]): string =>
  [...completions.map(({ name }) => name), '--help', '--version'].join(' ');

/** As one word of a shell. */
const quote = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`;

/** Where nothing of ours matches, files are offered: values of options are often paths. */
function bash(completions: readonly Completion[]): string {
  const cases = completions.map(
    ({ name, words }) => `      ${name}) words='${words.join(' ')}' ;;`,
  );
  return `# session-guard completion bash
_session_guard() {
  local words=''
  if ((COMP_CWORD == 1)); then
    words='${namesOf(completions)}'
  elif [[ \${COMP_WORDS[COMP_CWORD - 1]} != --*-file ]]; then
    case \${COMP_WORDS[1]} in
${cases.join('\n')}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _session_guard session-guard
`;
}

function zsh(completions: readonly Completion[]): string {
  const names = completions.map(({ name, summary }) => `      ${quote(`${name}:${summary}`)}`);
  const cases = completions.map(
    ({ name, words }) => `    ${name}) compadd -- ${words.join(' ')} ;;`,
  );
  return `#compdef session-guard
_session_guard() {
  if ((CURRENT == 2)); then
    local -a commands=(
${names.join('\n')}
    )
    _describe command commands
    return
  fi
  case $words[2] in
${cases.join('\n')}
  esac
  [[ $words[CURRENT] == --* ]] || _files
}
compdef _session_guard session-guard
`;
}

function fish(completions: readonly Completion[]): string {
  const lines = completions.flatMap(({ name, summary, words }) => [
    `complete -c session-guard -f -n __fish_use_subcommand -a ${name} -d ${quote(summary)}`,
    ...words.map((word) => {
      const what = word.startsWith('--') ? `-l ${word.slice(2)}` : `-f -a ${word}`;
      return `complete -c session-guard -n '__fish_seen_subcommand_from ${name}' ${what}`;
    }),
  ]);
  return `# session-guard completion fish\n${lines.join('\n')}\n`;
}
