import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { run } from './run.ts';

const scriptFor = async (shell: string): Promise<string> => {
  const { code, stdout } = await run(['completion', shell]);
  assert.equal(code, 0);
  return stdout;
};

/** What bash offers for the last of the words of a command line. */
function complete(script: string, ...words: string[]): string[] {
  const line = words.map((word) => `'${word}'`).join(' ');
  const program = `${script}
COMP_WORDS=(session-guard ${line})
COMP_CWORD=${words.length}
_session_guard
printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { status, stdout, stderr } = spawnSync('bash', ['--norc', '-u'], { input: program });
  assert.equal(status, 0, stderr.toString());
  return stdout.toString().split('\n').filter(Boolean);
}

test('bash completes commands, their words and their options', async () => {
  const script = await scriptFor('bash');
  assert.deepEqual(complete(script, 'comp'), ['completion']);
  assert.deepEqual(complete(script, 's').toSorted(), ['schema', 'secret', 'show', 'stats']);
  assert.deepEqual(complete(script, 'secret', 'g'), ['generate']);
  assert.deepEqual(complete(script, 'revoke', '--dr'), ['--dry-run']);
  assert.deepEqual(complete(script, 'revoke', '--all', '--y'), ['--yes']);
  assert.deepEqual(complete(script, 'list', '--secret-file', '--'), []); // a file's name, then
  assert.deepEqual(complete(script, 'nothing-of-ours', '--'), []);
});

interface Completions {
  readonly commands: { name: string; summary: string; words: string[] }[];
}

test('what is offered is taken: no command calls it an unknown option', async () => {
  const { stdout } = await run(['completion', '--json']);
  const { commands } = JSON.parse(stdout) as Completions;
  assert.ok(commands.length >= 12);
  for (const { name, words } of commands) {
    for (const word of words.filter((option) => option.startsWith('--'))) {
      // `secret` has options of its words; a value that cannot be keeps anything from being done.
      const lines = name === 'secret' ? ['generate', 'check'] : [''];
      const outcomes = await Promise.all(
        lines.map((own) => run([name, own, word, '--no-such-option'].filter(Boolean))),
      );
      const isKnown = outcomes.some(({ stderr }) => !stderr.includes(`Unknown option '${word}'`));
      assert.ok(isKnown, `${name} ${word}: ${outcomes[0]?.stderr}`);
    }
  }
});

test('zsh and fish are told the same', async () => {
  const { commands } = JSON.parse((await run(['completion', '--json'])).stdout) as Completions;
  const [zsh, fish] = [await scriptFor('zsh'), await scriptFor('fish')];
  for (const { name, words } of commands) {
    assert.ok(zsh.includes(`    ${name}) compadd -- ${words.join(' ')} ;;\n`), name);
    assert.match(fish, new RegExp(`-n __fish_use_subcommand -a ${name} -d '`));
    for (const word of words) {
      const what = word.startsWith('--') ? `-l ${word.slice(2)}` : `-f -a ${word}`;
      assert.ok(
        fish.includes(`'__fish_seen_subcommand_from ${name}' ${what}\n`),
        `${name} ${word}`,
      );
    }
  }
});

test('without a shell, or for another one, it is wrong use', async () => {
  for (const argv of [['completion'], ['completion', 'tcsh'], ['completion', 'toString']]) {
    const { code, stderr } = await run(argv);
    assert.equal(code, 2);
    assert.match(stderr, /bash, zsh or fish/);
  }
});
