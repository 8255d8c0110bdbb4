import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { KeyRing } from '../../lib/keys.ts';
import { NAME } from '../../lib/schema.ts';
import { TokenCodec } from '../../lib/token.ts';
import { Page } from '../support/markdown.ts';
import { Terminal } from '../support/terminal.ts';
import { Scene, signIn } from './cli-scene.ts';

/* Every command in docs/cli.md, and that of docs/migrating.md, does what it says there, in the order of the page. */

const scene = new Scene();

/** A terminal in a folder with the files that the page takes for granted. */
async function terminalOf(context: TestContext): Promise<Terminal> {
  const terminal = await Terminal.open();
  context.after(() => terminal.close());
  const { folder } = terminal;
  await writeFile(join(folder, 'kong.conf'), 'portal_session_conf = { "storage":"kong" }\n');
  const plugin = '{ name: session, config: { cookie_samesite: off } }';
  await writeFile(join(folder, 'kong.yml'), `_format_version: "3.0"\nplugins: [${plugin}]\n`);
  return terminal;
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

test('the commands of docs/cli.md and docs/migrating.md', async (context) => {
  const node = await scene.node(context);
  const [consumerId, credentialId] = [randomUUID(), randomUUID()];
  const fields = { consumerId, credentialId, subject: 'alice' };
  const first = await signIn(node, fields);
  const second = await signIn(node, fields);
  await signIn(node, fields);
  const terminal = await terminalOf(context);
  const { folder } = terminal;
  Object.assign(terminal.env, scene.env, {
    admin_url: await adminUrl(context),
    consumer: consumerId,
    credential: credentialId,
    family: first.family,
    handle: first.handle,
    other_handle: second.handle,
  });
  const blocks = ['docs/cli.md', 'docs/migrating.md'].flatMap((page) =>
    new Page(page).blocks('sh'),
  );
  assert.ok(blocks.length >= 10);
  for (const block of blocks) {
    await writeCookie(folder);
    assert.doesNotMatch(await terminal.paste(block), /undefined|\[object/);
  }
  const files = ['secret.txt', 'session-guard.yml', 'schema.lua'];
  for (const file of files) assert.ok((await readFile(join(folder, file), 'utf8')).length > 40);
  assert.deepEqual(await scene.handles(), []);
});

test('docs/cli.md has a section for every command', async () => {
  const { stdout } = await scene.run(['--help']);
  const page = new Page('docs/cli.md').text;
  for (const [, name = ''] of stdout.matchAll(/^ {2}([a-z][\w-]*) {2,}/gm)) {
    assert.match(page, new RegExp(`^## .*\\b${name}\\b`, 'm'), name);
    assert.ok(page.includes(`| [\`${name}\`]`), name);
  }
});
