import { readdir, readFile } from 'node:fs/promises';

const ROOT = new URL('../', import.meta.url);
const read = (path: string) => readFile(new URL(path, ROOT), 'utf8');

/** Where a version stands: in the code, and behind the names of images. */
const CODE = { path: 'lib/schema.ts', version: /(?<=^export const VERSION = ')[^']+/m };
const IMAGE = { folders: ['deploy', 'docs'], version: /(?<=\/session-guard:)\d+\.\d+\.\d+/g };

async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(new URL(folder, ROOT), { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && /\.(md|ya?ml)$/.test(entry.name));
  return files.map(({ parentPath, name }) => `${parentPath}/${name}`.slice(ROOT.pathname.length));
}

/** The files that name a version, by path, with that of package.json in them. */
export async function versioned(): Promise<{ [path: string]: string }> {
  const { version } = JSON.parse(await read('package.json')) as { version: string };
  const written: { [path: string]: string } = {};
  const code = await read(CODE.path);
  if (!CODE.version.test(code)) throw new Error(`${CODE.path} names no version`);
  written[CODE.path] = code.replace(CODE.version, version);
  for (const path of (await Promise.all(IMAGE.folders.map(filesIn))).flat()) {
    const text = await read(path);
    if (text.search(IMAGE.version) !== -1) written[path] = text.replace(IMAGE.version, version);
  }
  return written;
}
