import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** A page of the documentation, as tests hold it to what it says. */
export class Page {
  readonly text: string;
  readonly #folder: string;

  /** @param path below the root of the project */
  constructor(path: string) {
    this.text = readFileSync(join(ROOT, path), 'utf8');
    this.#folder = join(ROOT, dirname(path));
  }

  /** The code blocks of a language. */
  blocks(language: string): string[] {
    const blocks = this.text.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms'));
    return [...blocks].map(([, text = '']) => text);
  }

  /** The lines of all blocks of a language. */
  lines(language: string): string[] {
    return this.blocks(language).join('').trim().split('\n');
  }

  /** Links to files that are not there. */
  brokenLinks(): string[] {
    const links = [...this.text.matchAll(/\]\((?!#|https?:)([^)#]+)/g)];
    return links
      .map(([, path = '']) => path)
      .filter((path) => !existsSync(join(this.#folder, path)));
  }
}
