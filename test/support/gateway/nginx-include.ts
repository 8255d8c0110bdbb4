import type { HeaderLine } from './headers.ts';

/**
 * A file that kong.conf includes in the server block of the proxy (nginx_proxy_include), as far as ours uses nginx:
 * `underscores_in_headers` and `set`, whose values are worked out before any phase of Kong. Throws on anything else.
 */
export class NginxInclude {
  #underscores = true;
  readonly #values = new Map<string, string>();

  constructor(text: string) {
    const statements = text.replaceAll(/^\s*#.*$/gm, '').split(/;\s*(?:\n|$)/);
    for (const statement of statements) if (statement.trim() !== '') this.#add(statement.trim());
  }

  /** The headers that nginx lets through. */
  filter(lines: readonly HeaderLine[]): readonly HeaderLine[] {
    return this.#underscores ? lines : lines.filter(([name]) => !name.includes('_'));
  }

  /** The variables of a request that has only just arrived. */
  variables(valueOf: (name: string) => string | undefined): ReadonlyMap<string, string> {
    const evaluate = (text: string) =>
      text.replaceAll('\\n', '\n').replaceAll(/\$(\w+)/g, (_, name: string) => valueOf(name) ?? '');
    return new Map([...this.#values].map(([name, text]) => [name, evaluate(text)]));
  }

  #add(statement: string): void {
    const [, name = '', value = ''] = /^set \$(\w+) "([^"]*)"$/.exec(statement) ?? [];
    if (name !== '') this.#values.set(name, value);
    else if (/^underscores_in_headers (on|off)$/.test(statement)) {
      this.#underscores = statement.endsWith('on');
    } else throw new Error(`the stand-in does not know the directive: ${statement}`);
  }
}
