import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/*
 * The Dockerfile without a container engine: each stage is laid out in a folder, by its COPY and RUN steps. What its
 * base image would bring is not there; commands of the base image need a stand-in.
 */

const CONTEXT = fileURLToPath(new URL('../../', import.meta.url));

interface Instruction {
  readonly keyword: string;
  readonly text: string;
}

interface Stage {
  readonly name: string;
  readonly base: string;
  readonly instructions: readonly Instruction[];
}

/** What a container of a stage would be: its files below `root`, and how it runs. */
export interface Image {
  readonly root: string;
  readonly workdir: string;
  readonly user: string;
  readonly env: Readonly<Record<string, string>>;
  readonly command: readonly string[];
}

/** Does what a command of a base image would do, in the folder that stands for its working directory. */
type StandIn = (folder: string, root: string) => Promise<void>;

export class Dockerfile {
  readonly #stages: readonly Stage[];
  readonly #allowed: readonly string[];
  readonly #folder: string;
  readonly #standIns: Readonly<Record<string, StandIn>>;
  readonly #built = new Map<string, Promise<Image>>();

  /** Stages come below `folder`. A stand-in is found by the beginning of the command. */
  static async open(folder: string, standIns: Record<string, StandIn>): Promise<Dockerfile> {
    const [text, ignore] = await Promise.all(
      ['Dockerfile', '.dockerignore'].map((name) => readFile(join(CONTEXT, name), 'utf8')),
    );
    return new Dockerfile(stagesOf(text ?? ''), allowedBy(ignore ?? ''), folder, standIns);
  }

  private constructor(
    stages: readonly Stage[],
    allowed: readonly string[],
    folder: string,
    standIns: Record<string, StandIn>,
  ) {
    this.#stages = stages;
    this.#allowed = allowed;
    this.#folder = folder;
    this.#standIns = standIns;
  }

  /** The stage that is built when none is named. */
  get lastStage(): string {
    return this.#stages.at(-1)?.name ?? '';
  }

  /** Rejects with the step that fails. */
  build(name: string): Promise<Image> {
    const built = this.#built.get(name) ?? this.#build(name);
    this.#built.set(name, built);
    return built;
  }

  async #build(name: string): Promise<Image> {
    const stage = this.#stages.find((candidate) => candidate.name === name);
    if (stage === undefined) throw new Error(`no stage ${name}`);
    const root = join(this.#folder, name);
    await mkdir(root, { recursive: true });
    let image: Image = { root, workdir: '/', user: 'root', env: {}, command: [] };
    if (this.#stages.some((other) => other.name === stage.base)) {
      const base = await this.build(stage.base);
      await copy(base.root, root);
      image = { ...base, root };
    }
    for (const instruction of stage.instructions) image = await this.#apply(instruction, image);
    return image;
  }

  async #apply({ keyword, text }: Instruction, image: Image): Promise<Image> {
    switch (keyword) {
      case 'WORKDIR':
        await mkdir(join(image.root, text), { recursive: true });
        return { ...image, workdir: text };
      case 'USER':
        return { ...image, user: text };
      case 'ENV':
        return { ...image, env: { ...image.env, ...variablesOf(text) } };
      case 'CMD':
        return { ...image, command: JSON.parse(text) as string[] };
      case 'EXPOSE':
        return image;
      case 'COPY':
        await this.#copy(text, image);
        return image;
      case 'RUN':
        await this.#run(text, image);
        return image;
      default:
        throw new Error(`${keyword} is not understood`);
    }
  }

  async #copy(text: string, { root, workdir }: Image): Promise<void> {
    const words = text.split(/\s+/);
    const from = /^--from=(.*)$/.exec(words[0] ?? '')?.[1];
    if (from !== undefined) words.shift();
    const target = words.pop() ?? '';
    const destination = join(root, target.startsWith('/') ? '' : workdir, target);
    for (const word of words) {
      const source = join(from === undefined ? CONTEXT : (await this.build(from)).root, word);
      if (from === undefined) this.#checkContext(word);
      const isFile = (await stat(source)).isFile();
      const isInto = target.endsWith('/') || words.length > 1;
      await copy(source, isFile && isInto ? join(destination, basename(word)) : destination);
    }
  }

  #checkContext(path: string): void {
    if (this.#allowed.some((entry) => path === entry || path.startsWith(`${entry}/`))) return;
    throw new Error(`COPY ${path}: .dockerignore keeps it out of the context`);
  }

  async #run(text: string, { root, workdir }: Image): Promise<void> {
    const argv = text.startsWith('[') ? (JSON.parse(text) as string[]) : ['/bin/sh', '-c', text];
    const [program = '', ...args] = argv;
    const line = text.startsWith('[') ? argv.join(' ') : text;
    const standIn = Object.entries(this.#standIns).find(([beginning]) =>
      line.startsWith(beginning),
    );
    const cwd = join(root, workdir);
    if (standIn !== undefined) return standIn[1](cwd, root);
    const own = join(root, program);
    if (text.startsWith('[') && !existsSync(own))
      throw new Error(`RUN ${program}: not in the image`);
    await promisify(execFile)(text.startsWith('[') ? own : program, args, { cwd });
  }
}

const copy = (source: string, destination: string) =>
  cp(source, destination, { recursive: true, verbatimSymlinks: true });

/** `NAME="value" OTHER="value"` */
const variablesOf = (text: string): Record<string, string> =>
  Object.fromEntries(
    [...text.matchAll(/(\w+)="([^"]*)"/g)].map(([, name = '', value = '']) => [name, value]),
  );

function stagesOf(text: string): Stage[] {
  const stages: { name: string; base: string; instructions: Instruction[] }[] = [];
  for (const { keyword, text: rest } of instructionsOf(text)) {
    const [, base = '', name = ''] = /^(\S+) AS (\S+)$/.exec(rest) ?? [];
    if (keyword === 'FROM') stages.push({ name, base, instructions: [] });
    else if (keyword !== 'ARG') stages.at(-1)?.instructions.push({ keyword, text: rest });
  }
  return stages;
}

function instructionsOf(text: string): Instruction[] {
  const lines = text.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('#'));
  return lines
    .join('\n')
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
    .map((line) => {
      const [, keyword = '', rest = ''] = /^([A-Z]+)\s+(.*)$/.exec(line) ?? [];
      return { keyword, text: rest };
    });
}

/** Of the two kinds of lines that ours has: `*`, and `!path`. */
function allowedBy(ignore: string): string[] {
  const [all, ...rest] = ignore.trim().split('\n');
  if (all !== '*' || !rest.every((line) => /^![\w./-]+$/.test(line))) {
    throw new Error('.dockerignore is to refuse everything and then allow paths');
  }
  return rest.map((line) => line.slice(1));
}
