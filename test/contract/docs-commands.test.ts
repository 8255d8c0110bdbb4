import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parseOptions } from '../../lib/server/options.ts';
import { Admin } from '../support/admin.ts';
import type { Entity } from '../support/admin.ts';
import {
  blockLanguages,
  documentedCommands,
  hasIndentedBlock,
  PAGES,
} from '../support/commands.ts';
import { faultOf } from '../support/command-faults.ts';
import { startGateway } from '../support/gateway/index.ts';
import type { Gateway } from '../support/gateway/index.ts';
import { startPostgres } from '../support/postgres.ts';
import type { Postgres } from '../support/postgres.ts';
import { Terminal } from '../support/terminal.ts';
import { createCertificate } from '../support/tls.ts';
import { startUpstream } from '../support/upstream.ts';
import { run } from '../unit/cli/run.ts';

/*
 * Every command of the documentation: pasted into a terminal here, run by a test of its own, or listed with the reason
 * why no test runs it. One that is none of these fails, and so does a line of the lists that no command needs any more.
 */

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Commands, by their beginning or by file, and the test that runs them. */
const ELSEWHERE: readonly [commands: RegExp, test: string][] = [
  [/^docs\/(cli|migrating)\.md: (echo|curl|session-guard) .*/s, 'contract/cli-docs'],
  [/: npm start$/, 'browser/start'],
  [/: npm run bundle/, 'contract/executable'],
  [/: npm run (--silent )?sbom/, 'contract/packaging-npm'],
  [/: npm run package:check$/, 'contract/packaging-npm'],
  [/: npm run docs$/, 'unit/docs'],
  [/: promtool /, 'contract/monitoring'],
];

/** Commands that no test runs, and why; what they name is looked for all the same. */
const LISTED: readonly [commands: RegExp, reason: string][] = [
  [/: npm (ci|install|audit) ?/, 'asks the registry; the workflows do it'],
  [/: (\w+=\S+ )*npm (test|run test:\w+)( -- .*)?$/, 'runs these tests, or those of a real Kong'],
  [/: node --import tsx test\/run\.ts /, 'runs these tests'],
  [/: npm run (build|format|lint|typecheck|knip)$/, 'comes before these tests, or is a step of CI'],
  [/: npm run verify:/, 'takes minutes; test/verify has a small run of most'],
  [/: (\w+=\S+ )*npm run bench/, 'takes minutes; contract/bench has a small run'],
  [/: node --import tsx bench\//, 'takes minutes'],
  [
    /: node --import tsx test\/support\/upstream\.ts$/,
    'serves until it is ended; the tests begin it themselves',
  ],
  [/: node --cpu-prof$/, 'an option, no command'],
  [/: session-guard access$/, 'the name of a span'],
  [
    /: docker /,
    'needs an engine; contract/packaging-deploy runs the steps and services without one',
  ],
  [
    /: curl -k .*api\.demo\.localhost/,
    'needs the compose file; browser/start asks the same portal',
  ],
  [/: (kubectl|helm) /, 'needs a cluster; contract/packaging-deploy reads the resources'],
  [/: deck /, 'no tool at hand; contract/examples reads the file'],
  [/: terraform /, 'needs a provider from the registry; contract/examples reads the file'],
  [
    /: (KONG_\w+=\S+ )*kong /,
    'needs Kong itself; CI and contract/packaging-deploy read its settings',
  ],
  [/: (sudo|apt-get) /, 'changes the machine'],
  [/: ssh /, 'needs another machine'],
  [/: gh /, 'needs a published release'],
];

const commands = documentedCommands();
const readme = readFileSync(`${ROOT}README.md`, 'utf8');
const nameOf = ({ file, text }: { file: string; text: string }) => `${file}: ${text}`;
/** What has been pasted, or been put to the command line's own help. */
const ran = new Set<object>();

let terminal: Terminal;
let postgres: Postgres;
let upstream: Awaited<ReturnType<typeof startUpstream>>;
let gateway: Gateway;

before(async () => {
  terminal = await Terminal.open();
  postgres = await startPostgres();
  upstream = await startUpstream();
});
after(async () => {
  await gateway?.stop();
  await upstream.close();
  await postgres.stop();
  await terminal.close();
});

/**
 * Pastes the commands of a file that begin in one of these ways, in its order, with words for its placeholders; resolves
 * with what they print.
 */
async function paste(
  file: string,
  beginning: RegExp,
  { words = {}, typed }: { words?: Record<string, string>; typed?: string } = {},
): Promise<string[]> {
  const found = commands.filter((command) => command.file === file && beginning.test(command.text));
  assert.ok(found.length > 0, `${file} has no ${beginning}`);
  const outputs: string[] = [];
  for (const command of found) {
    ran.add(command);
    const text = Object.entries(words).reduce(
      (so, [from, to]) => so.replaceAll(from, to),
      command.text,
    );
    outputs.push(await terminal.paste(text, typed));
  }
  return outputs;
}

/** As README.md says beside the command. */
const [, ATTRIBUTES = ''] = /Set-Cookie: session=…(.*)$/m.exec(readme) ?? [];

const written = (name: string) => readFile(join(terminal.folder, name), 'utf8');

/** A gateway as installing.md leaves Kong: the plugin loaded, secret and database in its environment. */
async function startKong(): Promise<Gateway> {
  const socketPath = join(terminal.folder, 'server.socket');
  const server = `'${process.execPath}' '${ROOT}dist/lib/server/main.js'`;
  terminal.env['SESSION_GUARD_DATABASE_URL'] = await postgres.newDatabase();
  return startGateway({
    tls: await createCertificate(),
    env: {
      SESSION_SECRET: (await written('secret.txt')).trim(),
      SESSION_DATABASE_URL: terminal.env['SESSION_GUARD_DATABASE_URL'],
    },
    server: {
      socketPath,
      queryCmd: `${server} -dump`,
      startCmd: `${server} --socket ${socketPath}`,
    },
  });
}

test('docs/installing.md and README.md from the package to the first revocation', async () => {
  const [version, ...files] = await paste(
    'docs/installing.md',
    /^session-guard\/bin\/session-guard /,
  );
  assert.match(version ?? '', /^\d+\.\d+\.\d+\n$/);
  assert.deepEqual(files, ['', '']);
  for (const file of ['schema.lua', 'secret.txt'])
    assert.ok((await written(file)).length > 40, file);

  gateway = await startKong();
  terminal.connect(gateway);
  const admin = new Admin(gateway.adminUrl);
  await paste('docs/installing.md', /^KONG_ADMIN_URL/);
  await admin.change('/services/my-service', { url: upstream.url });
  // The example is whole; README.md shows its last call once more.
  const { data } = await admin.read('/routes/my-route/plugins');
  const example = (data as Entity[]).find(({ name }) => name === 'session-guard');
  await admin.delete(`/plugins/${example?.id}`);

  const words = { '…': 'a-key-of-alice' };
  const [plugin, consumer, key] = await paste('README.md', /^curl -sS /, { words });
  for (const made of [plugin, consumer, key]) assert.match(made ?? '', /"id":"[-\da-f]{36}"/);
  const answers = await paste('README.md', /^curl -si /, { words });
  assert.deepEqual(
    answers.map((answer) => answer.split(' ')[1]),
    ['200', '200', '200', '403'],
  );
  assert.match(answers[0] ?? '', new RegExp(`^set-cookie: session=\\S+${ATTRIBUTES}\r$`, 'm'));

  const { id } = JSON.parse(consumer ?? '') as { id: string };
  const signIn = `curl -s -H 'apikey: a-key-of-alice' https://my-host/my`;
  await terminal.paste(`${signIn}; ${signIn}`);
  const [list = ''] = await paste('README.md', /^session-guard list /, { words: { '3b0d…': id } });
  const [handle = '', other = ''] = list.match(/^[\w-]{20,}/gm) ?? [];
  const [told] = await paste('README.md', /^session-guard revoke 5f/, {
    words: { '5f2c…': handle },
    typed: 'y\n',
  });
  assert.notEqual(other, '', list);
  assert.match(told ?? '', /Go ahead\?/);
  assert.match(await terminal.paste('session-guard list'), new RegExp(`^${other}`, 'm'));
  await paste('README.md', /^session-guard revoke --all --yes/);
  await assert.rejects(terminal.paste('session-guard list'), { code: 3 });
});

test('secrets, tokens, lines for kong.conf', async () => {
  for (const file of ['README.md', 'docs/watching.md']) {
    assert.match((await paste(file, /^openssl /)).join(), /^[\w+/=]{44,}\n$/);
  }
  await paste('docs/console.md', /^\(umask/);
  assert.match(await written('console.token'), /^[\da-f]{64}\n$/);
  await paste('kong.conf.example', /^export /);
  await paste('docs/cli.md', /^source /);
  await paste('docs/installing.md', /^cat >> /, {
    words: { '/etc/kong/kong.conf': 'kong.conf' },
  });
  const example = readFileSync(`${ROOT}kong.conf.example`, 'utf8').split('\n');
  for (const line of (await written('kong.conf')).trim().split('\n')) {
    assert.ok(example.includes(line), line);
  }
  const [folder] = await paste('docs/installing.md', /^npm root /);
  assert.match(folder ?? '', /node_modules\n$/);
});

test('what a release is checked by, and how it is tagged', async () => {
  const workflow = readFileSync(`${ROOT}.github/workflows/release.yml`, 'utf8');
  const [, sums = ''] = /run: (sha256sum .*)$/m.exec(workflow) ?? [];
  for (const file of ['session-guard-linux-amd64.tar.gz', 'session-guard.cdx.json']) {
    await writeFile(join(terminal.folder, file), file);
  }
  await terminal.paste(sums);
  assert.match((await paste('docs/installing.md', /^sha256sum /)).join(), /^(\S+: OK\n){2}$/);

  const manifest = JSON.stringify({ name: 'anything', version: '0.1.0' });
  await writeFile(join(terminal.folder, 'package.json'), manifest);
  for (const who of ['AUTHOR', 'COMMITTER']) {
    terminal.env[`GIT_${who}_NAME`] = 'somebody';
    terminal.env[`GIT_${who}_EMAIL`] = 'somebody@example.com';
  }
  await terminal.paste(
    'git init -q -b main; git init -q --bare origin; git remote add origin ./origin; ' +
      'git add package.json; git commit -qm first; git push -qu origin main',
  );
  await paste('CONTRIBUTING.md', /^(npm version|git) /);
  const there = await terminal.paste('git --git-dir origin log --oneline --decorate -1 main');
  assert.match(there, /tag: v0\.2\.0.* build: 0\.2\.0\n$/);
});

test('the server takes the options that sentences and lines for kong.conf give it', () => {
  const named = commands.filter(({ text }) => text.startsWith('session-guard-server '));
  const pages = PAGES.map((page) => readFileSync(ROOT + page, 'utf8')).join('\n');
  const lines = [...pages.matchAll(/^pluginserver_\w+_(?:start|query)_cmd = (.*)$/gm)];
  assert.ok(lines.length > 3);
  for (const command of [...named.map(({ text }) => text), ...lines.map(([, text = '']) => text)]) {
    const [, options = ''] = /(?:session-guard-server|main\.js) ?(.*)$/.exec(command) ?? [];
    assert.ok(parseOptions(options.split(' ').filter(Boolean)).command, command);
  }
  for (const command of named) ran.add(command);
});

test('the verbs and options named in sentences are those of the command line', async () => {
  const named = commands.filter(
    ({ kind, text }) => kind === 'inline' && /^session-guard (?!access)/.test(text),
  );
  assert.ok(named.length > 15);
  for (const command of named) {
    const [, verb = '', ...rest] = command.text.split(' ');
    const { code, stdout } = await run([verb, '--help']);
    assert.equal(code, 0, command.text);
    for (const option of rest.filter((word) => word.startsWith('--'))) {
      assert.ok(stdout.includes(option), nameOf(command));
    }
    ran.add(command);
  }
});

test('every other command is run by a test, or listed with the reason why none does', () => {
  const rules = [...ELSEWHERE, ...LISTED].map(([pattern]) => pattern);
  const others = commands.filter((command) => !ran.has(command)).map(nameOf);
  assert.deepEqual(
    others.filter((name) => !rules.some((rule) => rule.test(name))),
    [],
  );
  assert.deepEqual(
    rules.filter((rule) => !others.some((name) => rule.test(name))),
    [],
    'rules that no command needs',
  );
  for (const [, name] of ELSEWHERE) assert.ok(existsSync(`${ROOT}test/${name}.test.ts`), name);
  const faults = commands.map(({ text }) => [text, faultOf(text)]).filter(([, fault]) => fault);
  assert.deepEqual(faults, []);
});

test('no command hides: blocks of code name their language', () => {
  const languages = new Set(blockLanguages());
  assert.deepEqual([...languages].toSorted(), ['console', 'ini', 'js', 'sh', 'yaml']);
  assert.deepEqual(PAGES.filter(hasIndentedBlock), []);
});
