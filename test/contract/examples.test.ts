import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { parse, parseAllDocuments } from 'yaml';
import { startGateway } from '../support/gateway/index.ts';

/* That they are what `npm run docs` writes, unit/docs says. */

const fileOf = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url));
const read = (name: string) => readFile(fileOf(name), 'utf8');

interface Plugin {
  readonly name: string;
  readonly config: object;
}
interface Declarative {
  readonly _format_version: string;
  readonly services: { name: string; routes: { name: string; plugins: Plugin[] }[] }[];
  readonly consumers: { username: string; plugins: Plugin[] }[];
}

async function pluginsOfDeclarative(): Promise<Plugin[]> {
  const { _format_version, services, consumers } = parse(
    await read('examples/kong.yml'),
  ) as Declarative;
  assert.equal(_format_version, '3.0');
  const routes = services.flatMap((service) => service.routes);
  return [...routes, ...consumers].flatMap(({ plugins }) => plugins);
}

test('the calls of the Admin API make the entities of the declarative file', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'session-guard-examples-'));
  t.after(() => rm(folder, { recursive: true }));
  const socketPath = join(folder, 'server.socket');
  const command = `'${process.execPath}' '${fileOf('dist/lib/server/main.js')}'`;
  const gateway = await startGateway({
    server: {
      socketPath,
      queryCmd: `${command} -dump`,
      startCmd: `${command} --socket ${socketPath}`,
    },
  });
  t.after(() => gateway.stop());
  const env = { ...process.env, KONG_ADMIN_URL: gateway.adminUrl };
  await promisify(execFile)('/bin/sh', [fileOf('examples/admin-api.sh')], { env });
  const response = await fetch(`${gateway.adminUrl}/plugins`);
  const { data } = (await response.json()) as { data: Plugin[] };
  const expected = await pluginsOfDeclarative();
  assert.equal(data.length, expected.length);
  for (const { name, config } of expected) {
    const made = data.find((plugin) => plugin.name === name);
    assert.ok(made, name);
    for (const [field, value] of Object.entries(config)) {
      const stored: unknown = (made.config as Record<string, unknown>)[field];
      if (typeof value !== 'object') assert.equal(stored, value, field);
    }
  }
});

test('the resources for Kubernetes configure the same plugins', async () => {
  const documents = parseAllDocuments(await read('examples/kubernetes.yaml'));
  const resources = documents.map((document) => {
    assert.deepEqual(document.errors, []);
    return document.toJS() as { kind: string; plugin: string; config: object };
  });
  const plugins = resources.filter(({ kind }) => kind === 'KongPlugin');
  const sorted = (list: Plugin[]) => list.toSorted((a, b) => a.name.localeCompare(b.name));
  assert.deepEqual(
    sorted(plugins.map(({ plugin: name, config }) => ({ name, config }))),
    sorted(await pluginsOfDeclarative()),
  );
});

/** An object of Terraform's language, as far as examples/main.tf uses it. */
const toJson = (object: string): unknown =>
  JSON.parse(
    object.replaceAll(/^( *)(\w+) += /gm, '$1"$2": ').replaceAll(/([^{])\n(?= *")/g, '$1,\n'),
  );

test('so do those for Terraform, which refer to what they declare', async () => {
  const text = await read('examples/main.tf');
  const declared = [...text.matchAll(/^resource "(\w+)" "(\w+)"/gm)].map(
    ([, type, name]) => `${type}.${name}`,
  );
  for (const [, target = ''] of text.matchAll(/= (kong_\w+\.\w+)\.id$/gm)) {
    assert.ok(declared.includes(target), target);
  }
  const configs = [...text.matchAll(/jsonencode\((\{.*?\n {2}\})\)$/gms)].map(([, object = '']) =>
    toJson(object),
  );
  const expected = await pluginsOfDeclarative();
  for (const { config } of expected) {
    assert.ok(configs.some((found) => JSON.stringify(found) === JSON.stringify(config)));
  }
  assert.equal(configs.length, expected.length);
});
