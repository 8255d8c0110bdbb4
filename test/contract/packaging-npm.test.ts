import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const npm = (...args: string[]) =>
  promisify(execFile)('npm', args, { cwd: ROOT, maxBuffer: 64 * 1024 * 1024 });

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly bin: Record<string, string>;
  readonly dependencies: Record<string, string>;
  readonly devDependencies: Record<string, string>;
}
const manifest = JSON.parse(await readFile(`${ROOT}package.json`, 'utf8')) as Manifest;

const filesIn = async (folder: string) =>
  (await readdir(`${ROOT}${folder}`, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => `${entry.parentPath}/${entry.name}`.slice(ROOT.length));

test('the package holds what runs and what explains it, and nothing else', async () => {
  const { stdout } = await npm('pack', '--dry-run', '--json', '--ignore-scripts');
  const answer = JSON.parse(stdout) as unknown;
  // npm 11.19 answers with an object by name, those before it with a list.
  const [pack] = Object.values(answer as object) as [{ files: { path: string; mode: number }[] }];
  const packed = pack.files.map(({ path }) => path).toSorted();
  const folders = ['docs', 'deploy', 'examples', 'monitoring', 'nginx'];
  const expected = [
    ...(await filesIn('lib')).map((file) => `dist/${file.replace(/\.ts$/, '.js')}`),
    'dist/plugins/session-guard.js',
    ...(await Promise.all(folders.map(filesIn))).flat(),
    'CHANGELOG.md',
    'LICENSE',
    'README.md',
    'SECURITY.md',
    'kong.conf.example',
    'package.json',
  ];
  assert.deepEqual(packed, expected.toSorted());
  for (const path of Object.values(manifest.bin)) {
    const mode = pack.files.find((file) => file.path === path)?.mode ?? 0;
    assert.equal(mode & 0o111, 0o111, path);
  }
});

test('publint has nothing to say', async () => {
  const { messages, pkg } = await publint({ pkgDir: ROOT, strict: true });
  assert.deepEqual(
    messages.map((message) => formatMessage(message, pkg)),
    [],
  );
});

interface Bom {
  readonly bomFormat: string;
  readonly metadata: { component: { purl: string } };
  readonly components: { purl: string; properties?: { name: string; value: string }[] }[];
}

// Not with --omit=dev: npm 11.19 then leaves out what a package of development asks for too.
test('the bill of materials names every package, and which are for development only', async () => {
  const { stdout } = await npm('run', '--silent', 'sbom');
  const { bomFormat, metadata, components } = JSON.parse(stdout) as Bom;
  assert.equal(bomFormat, 'CycloneDX');
  assert.equal(metadata.component.purl, `pkg:npm/${manifest.name}@${manifest.version}`);
  const isDevelopment = new Map(
    components.map(({ purl, properties = [] }) => [
      decodeURIComponent(purl),
      properties.some(({ name }) => name === 'cdx:npm:package:development'),
    ]),
  );
  const expect = (packages: Record<string, string>, development: boolean) => {
    for (const [name, version] of Object.entries(packages)) {
      assert.equal(isDevelopment.get(`pkg:npm/${name}@${version}`), development, name);
    }
  };
  expect(manifest.dependencies, false);
  expect(manifest.devDependencies, true);
});
