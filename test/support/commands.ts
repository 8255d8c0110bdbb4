import { readdirSync, readFileSync } from 'node:fs';

const ROOT = new URL('../../', import.meta.url);
const TOOLS =
  'apt-get|curl|deck|docker|export|gh|git|helm|kong|kubectl|node|npm|npx|openssl|promtool|psql|session-guard|' +
  'session-guard-server(?= -)|sh|source|ssh|sudo|systemctl|terraform';
/** What begins as a command does: variables, a tool, and something for it to do. */
const BEGINS = new RegExp(`^(?:[A-Z_]+=\\S+ )*(?:${TOOLS}) [-./\\w"'$<]`);

/** A command that the documentation tells people to run. */
export interface Command {
  /** Path below the root of the project. */
  readonly file: string;
  /** `block`: of a code block or a comment, as it is pasted; `inline`: named within a sentence. */
  readonly kind: 'block' | 'inline';
  /** Without prompt and comment; lines that belong together are one. */
  readonly text: string;
}

const read = (file: string): string => readFileSync(new URL(file, ROOT), 'utf8');

const filesBelow = (folder: string): string[] =>
  readdirSync(new URL(folder, ROOT), { recursive: true, encoding: 'utf8' }).map(
    (name) => `${folder}/${name}`,
  );

/** Pages of the documentation. */
export const PAGES: readonly string[] = [
  'README.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  'CHANGELOG.md',
  'bench/README.md',
  'test/e2e/README.md',
  ...filesBelow('docs').filter((name) => name.endsWith('.md')),
];

/** Files whose comments say how they are used. */
const COMMENTED: readonly string[] = [
  'Dockerfile',
  'docker-compose.yml',
  'kong.conf.example',
  ...['deploy', 'examples', 'monitoring', 'nginx']
    .flatMap(filesBelow)
    .filter((name) => /\.(?:conf|service|sh|tf|ya?ml)$/.test(name)),
];

const withoutComment = (line: string): string => line.replace(/\s+#\s.*$/, '');

/** Whether the shell would ask for another line. */
function isOpen(text: string): boolean {
  if (text.endsWith('\\')) return true;
  const [, end] = /<<-?'?(\w+)/.exec(text) ?? [];
  if (end !== undefined) return !text.split('\n').slice(1).includes(end);
  const unquoted = text.replaceAll(/\\.|'[^']*'|"(?:\\.|[^"\\])*"/gs, '');
  return /['"]/.test(unquoted);
}

/** Puts lines together that are one command, and takes apart what `&&` joins. */
function commandsIn(lines: readonly string[]): string[] {
  const commands: string[] = [];
  let text = '';
  for (const line of lines) {
    text = text === '' ? withoutComment(line) : `${text}\n${line}`;
    if (isOpen(text)) continue;
    commands.push(...text.split(' && ').filter(Boolean));
    text = '';
  }
  if (text !== '') throw new Error(`a command without its end: ${text}`);
  return commands;
}

const BLOCK = /^( *)```(\w*)\n(.*?)^ *```$/gms;

/** Code blocks for a shell: `sh` has commands only, in `console` they follow a prompt. Throws at anything else there. */
function commandsOfBlocks(page: string): string[] {
  return [...page.matchAll(BLOCK)].flatMap(([, indent = '', language = '', text = '']) => {
    const lines = text.split('\n').map((line) => line.slice(indent.length));
    if (language === 'sh') return commandsIn(lines);
    if (language !== 'console') return [];
    if (!lines[0]?.startsWith('$ ')) throw new Error(`no prompt: ${text}`);
    return commandsIn(lines.map((line) => line.replace(/^\$ /, '')));
  });
}

const commandsOfSentences = (page: string): string[] =>
  [...page.replaceAll(BLOCK, '').matchAll(/`([^`]+)`/g)]
    .map(([, code = '']) => code.replaceAll('\n', ' '))
    .filter((code) => BEGINS.test(code))
    .flatMap((code) => code.split(' && '));

function commandsOfComments(text: string): string[] {
  const comments = [...text.matchAll(/^\s*#+ *(.*)$/gm)].map(([, comment = '']) => comment);
  const lines = comments.map((comment) => comment.replace(/^.*: {2,}/, ''));
  return lines.flatMap((line, index) => {
    if (!BEGINS.test(line)) return [];
    const rest = lines.slice(index + 1);
    const length = line.endsWith('\\') ? rest.findIndex((next) => !next.endsWith('\\')) + 1 : 0;
    return commandsIn([line, ...rest.slice(0, length)]);
  });
}

/** Every command of the documentation, in the order of its files. */
export function documentedCommands(): Command[] {
  const of = (file: string, kind: Command['kind'], texts: string[]) =>
    texts.map((text) => ({ file, kind, text }));
  return [
    ...PAGES.flatMap((file) => [
      ...of(file, 'block', commandsOfBlocks(read(file))),
      ...of(file, 'inline', commandsOfSentences(read(file))),
    ]),
    ...COMMENTED.flatMap((file) => of(file, 'block', commandsOfComments(read(file)))),
  ];
}

/** Languages of the code blocks of the pages; '' where a block names none. */
export const blockLanguages = (): string[] =>
  PAGES.flatMap((file) => [...read(file).matchAll(BLOCK)].map(([, , language = '']) => language));

/** Whether a page has a code block by indentation, in which no command would be seen. */
export const hasIndentedBlock = (file: string): boolean =>
  /^\n {4}\S/m.test(read(file).replaceAll(BLOCK, ''));
