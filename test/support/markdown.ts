import { readFileSync } from 'node:fs';

/** A page of the documentation, by its path below the root of the project, as tests hold it to what it says. */
export class Page {
  readonly text: string;

  constructor(path: string) {
    this.text = readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
  }

  /** The code blocks of a language, those in lists too. */
  blocks(language: string): string[] {
    const blocks = this.text.matchAll(new RegExp(`^ *\`\`\`${language}\\n(.*?)^ *\`\`\`$`, 'gms'));
    return [...blocks].map(([, text = '']) => text);
  }
}
