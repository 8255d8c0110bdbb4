import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';

const PACKAGE = /^.*node_modules\/(?:@[^/]+\/)?[^/]+/;
const LICENSE = /^(licen[cs]e|copying|notice)/i;

/** The folders of the packages among the files of a bundle. */
const packagesOf = (files: readonly string[]): string[] =>
  [...new Set(files.flatMap((file) => PACKAGE.exec(file) ?? []))].toSorted();

/** What their licences demand of whoever hands on the bundle: their texts. Rejects for a package without one. */
export async function licensesOf(files: readonly string[]): Promise<string> {
  const texts = await Promise.all(packagesOf(files).map(licenseOf));
  const node = `Node.js ${process.version}\nhttps://github.com/nodejs/node/blob/${process.version}/LICENSE\n`;
  return [node, ...texts].join(`\n${'-'.repeat(100)}\n\n`);
}

async function licenseOf(folder: string): Promise<string> {
  const { name, version, license } = JSON.parse(
    await readFile(join(folder, 'package.json'), 'utf8'),
  ) as Record<'name' | 'version' | 'license', string>;
  const names = (await readdir(folder)).filter((file) => LICENSE.test(file));
  const texts = await Promise.all(names.map((file) => readFile(join(folder, file), 'utf8')));
  if (license === undefined) throw new Error(`${name} says nothing of its licence`);
  return [`${name} ${version} (${license})\n`, ...texts].join('\n');
}
