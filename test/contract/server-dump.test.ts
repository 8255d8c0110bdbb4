import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const fileOf = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const MAIN = fileOf('../../lib/server/main.ts');

interface Dump {
  readonly Protocol: string;
  readonly Plugins: {
    Name: string;
    Version: string;
    Priority: number;
    Phases: string[];
    Schema: object;
  }[];
}

/** Runs the server's own command with -dump and names the modules it loaded. */
async function dump(...args: string[]) {
  const child = spawn(
    process.execPath,
    ['--import', import.meta.resolve('tsx'), '--import', fileOf('server-loads.ts'), MAIN, ...args],
    { env: {}, cwd: '/', stdio: ['ignore', 'pipe', 'pipe', 'pipe'] },
  );
  const exit = once(child, 'close');
  const [stdout, stderr, loaded] = await Promise.all(
    [1, 2, 3].map((fd) => text(child.stdio[fd] as Readable)),
  );
  const [code] = (await exit) as [number];
  return { code, stdout: stdout!, stderr: stderr!, modules: loaded!.split('\n').filter(Boolean) };
}

test('the dump is one JSON value and nothing else, and the process ends by itself', async () => {
  const { code, stdout, stderr } = await dump('-dump');
  assert.equal(code, 0);
  assert.equal(stderr, '');
  const { Protocol, Plugins } = JSON.parse(stdout) as Dump;
  assert.equal(Protocol, 'ProtoBuf:1');
  assert.equal(Plugins.length, 1);
  const [plugin] = Plugins;
  assert.equal(plugin!.Name, 'session-guard');
  assert.match(plugin!.Version, /^\d+\.\d+\.\d+$/); // anything else, and Kong does not start
  assert.equal(plugin!.Priority, 1005);
  assert.deepEqual(plugin!.Phases, ['access']);
  assert.deepEqual(JSON.stringify(plugin!.Schema).includes('"consumer"'), true);
});

test('--protocol chooses what Kong is told to speak', async () => {
  const { stdout } = await dump('--dump', '--protocol', 'msgpack');
  assert.equal((JSON.parse(stdout) as Dump).Protocol, 'MsgPack:1');
});

test('the dump loads the schema and nothing that serves', async () => {
  const { modules } = await dump('-dump');
  assert.ok(modules.some((url) => url.endsWith('/lib/schema.ts')));
  for (const heavy of [
    '/pg/',
    '/jose/',
    '/pino/',
    '/lru-cache/',
    '/lib/server/index.ts',
    '/lib/plugin.ts',
  ]) {
    assert.deepEqual(
      modules.filter((url) => url.includes(heavy)),
      [],
    );
  }
  assert.ok(modules.filter((url) => url.startsWith('file:')).length <= 15);
});
