import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const { scripts } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8')) as {
  scripts: Record<string, string>;
};
const tests = readdirSync(`${ROOT}test`, { recursive: true, encoding: 'utf8' }).filter((name) =>
  name.endsWith('.test.ts'),
);

/** Whether `npm test -- …` finds something for each part and the pattern. */
function findsTests(args: readonly string[]): boolean {
  const at = args.indexOf('--name');
  const parts = at === -1 ? args : args.slice(0, at);
  const pattern = at === -1 ? '' : (args[at + 1] ?? '');
  const has = (name: string) => readFileSync(`${ROOT}test/${name}`, 'utf8').includes(pattern);
  return parts.every((part) => tests.some((name) => name.includes(part) && has(name)));
}

/** What is wrong with a command as far as reading it can tell: a script, file, test or stage that is not there. */
export function faultOf(text: string): string | undefined {
  const words = text.split(/\s+/).map((word) => word.replace(/^--?[\w-]+=/, ''));
  const [, script] = /\bnpm run (?:--silent )?([\w:-]+)/.exec(text) ?? [];
  if (script !== undefined && !(script in scripts)) return `no script ${script}`;
  const [, args] = /(?:npm (?:test|run test:e2e) --|test\/run\.ts) (.*)$/.exec(text) ?? [];
  if (args !== undefined && !findsTests(args.split(' '))) return `no test ${args}`;
  const [, stage] = /^docker build .*--target (\S+)/.exec(text) ?? [];
  const dockerfile = readFileSync(`${ROOT}Dockerfile`, 'utf8');
  if (stage !== undefined && !dockerfile.includes(` AS ${stage}\n`)) return `no stage ${stage}`;
  const files = words.filter((word) =>
    /^(?:deploy|examples|bench|test|monitoring)(?:\/|$)/.test(word),
  );
  const lost = files.find((file) => !existsSync(ROOT + file));
  return lost === undefined || text.startsWith('npm test') ? undefined : `no file ${lost}`;
}
