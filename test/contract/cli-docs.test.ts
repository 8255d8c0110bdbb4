import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { KeyRing } from '../../lib/keys.ts';
import { NAME } from '../../lib/schema.ts';
import { TokenCodec } from '../../lib/token.ts';
import { Scene, signIn } from './cli-scene.ts';

/* Every command in docs/cli.md does what it says there, in the order of the page. */

const scene = new Scene();
const PAGE = new URL('../../docs/cli.md', import.meta.url);
const CLI = fileURLToPath(new URL('../../lib/cli.ts', import.meta.url));
const TSX = import.meta.resolve('tsx');

/** A folder with `session-guard` and the files that the page takes for granted. */
async function folderOf(context: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'session-guard-docs-'));
  context.after(() => rm(folder, { recursive: true }));
  const program = `#!/bin/sh\nexec "${process.execPath}" --import "${TSX}" "${CLI}" "$@"\n`;
  await writeFile(join(folder, 'session-guard'), program, { mode: 0o755 });
  await writeFile(join(folder, 'kong.conf'), 'portal_session_conf = { "storage":"kong" }\n');
  const plugin = '{ name: session, config: { cookie_samesite: off } }';
  await writeFile(join(folder, 'kong.yml'), `_format_version: "3.0"\nplugins: [${plugin}]\n`);
  return folder;
}

/** As much of an Admin API as the page needs: a gateway that still has the bundled plugin. */
async function adminUrl(context: TestContext): Promise<string> {
  const root = { version: '3.9.1', plugins: { available_on_server: { [NAME]: {} } } };
  const plugins = { data: [{ id: '1', name: 'session', config: { storage: 'cookie' } }] };
  const server = createServer(({ url = '' }, response) => {
    const answer = url === '/' ? root : url.startsWith('/plugins') ? plugins : { data: [] };
    response.end(JSON.stringify(answer));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A cookie under the secret that the page has just made. */
async function writeCookie(folder: string): Promise<void> {
  const secret = await readFile(join(folder, 'secret.txt'), 'utf8').catch(() => undefined);
  if (secret === undefined) return;
  const codec = new TokenCodec(new KeyRing([secret.trim()], 'session cookie ', 0), 'session');
  const id = randomBytes(32).toString('base64url');
  const value = await codec.seal([{ audience: 'default', id, generation: 0 }], Date.now());
  await writeFile(join(folder, 'cookie.txt'), `session=${value}\n`);
}

test('the commands of docs/cli.md', async (context) => {
  const node = await scene.node(context);
  const [consumerId, credentialId] = [randomUUID(), randomUUID()];
  const fields = { consumerId, credentialId, subject: 'alice' };
  const first = await signIn(node, fields);
  const second = await signIn(node, fields);
  await signIn(node, fields);
  const folder = await folderOf(context);
  const env = {
    ...scene.env,
    PATH: `${folder}:${process.env['PATH'] ?? ''}`,
    admin_url: await adminUrl(context),
    consumer: consumerId,
    credential: credentialId,
    family: first.family,
    handle: first.handle,
    other_handle: second.handle,
  };
  const page = await readFile(PAGE, 'utf8');
  const blocks = [...page.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block = '']) => block);
  assert.ok(blocks.length >= 9);
  for (const block of blocks) {
    await writeCookie(folder);
    const { stdout } = await promisify(execFile)('/bin/sh', ['-euc', block], { cwd: folder, env });
    assert.doesNotMatch(stdout, /undefined|\[object/);
  }
  const files = ['secret.txt', 'session-guard.yml', 'schema.lua'];
  for (const file of files) assert.ok((await readFile(join(folder, file), 'utf8')).length > 40);
  assert.deepEqual(await scene.handles(), []);
});

test('docs/cli.md has a section for every command', async () => {
  const { stdout } = await scene.run(['--help']);
  const page = await readFile(PAGE, 'utf8');
  for (const [, name = ''] of stdout.matchAll(/^ {2}([a-z][\w-]*) {2,}/gm)) {
    assert.match(page, new RegExp(`^## .*\\b${name}\\b`, 'm'), name);
    assert.ok(page.includes(`| [\`${name}\`]`), name);
  }
});
