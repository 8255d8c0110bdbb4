import type { HeaderLine } from './headers.ts';

/** What nginx_proxy_include and nginx_http_include of kong.conf name: the texts of the files. */
export interface IncludedFiles {
  readonly proxy?: string | undefined;
  readonly http?: string | undefined;
}

/** One variable of nginx by name; `undefined` = there is none. */
type ValueOf = (name: string) => string | undefined;

/**
 * Files that kong.conf includes in the server block of the proxy and in the http block, as far as ours use nginx:
 * `underscores_in_headers` and `set`, whose values are worked out before any phase of Kong, and a `map` with nothing but
 * a volatile default, which is worked out whenever it is asked for. Throws on anything else.
 */
export class NginxInclude {
  #underscores = true;
  readonly #sets = new Map<string, Template>();
  readonly #maps = new Map<string, Template>();

  constructor({ proxy = '', http = '' }: IncludedFiles) {
    for (const statement of statementsOf(proxy)) this.#add(statement);
    const rest = withoutComments(http).replaceAll(MAP, (_, name: string, value: string) => {
      this.#maps.set(name, templateOf(value));
      return '';
    });
    if (rest.trim() !== '') throw unknown(rest);
  }

  /** The headers that nginx lets through. */
  filter(lines: readonly HeaderLine[]): readonly HeaderLine[] {
    return this.#underscores ? lines : lines.filter(([name]) => !name.includes('_'));
  }

  /** The variables of a request that has only just arrived. */
  variables(valueOf: ValueOf): IncludedVariables {
    return new IncludedVariables(this.#sets, this.#maps, valueOf);
  }

  #add(statement: string): void {
    const [, name = '', value = ''] = /^set \$(\w+) "([^"]*)"$/.exec(statement) ?? [];
    if (name !== '') this.#sets.set(name, templateOf(value));
    else if (/^underscores_in_headers (on|off)$/.test(statement)) {
      this.#underscores = statement.endsWith('on');
    } else throw unknown(statement);
  }
}

const MAP = /map "" \$(\w+) \{\s*volatile;\s*default "([^"]*)";\s*\}/g;

const withoutComments = (text: string): string => text.replaceAll(/^\s*#.*$/gm, '');

const statementsOf = (text: string): string[] =>
  withoutComments(text)
    .split(/;\s*(?:\n|$)/)
    .map((statement) => statement.trim())
    .filter((statement) => statement !== '');

const unknown = (statement: string): Error =>
  new Error(`the stand-in does not know the directive: ${statement.trim()}`);

/** A text in double quotes: literal text, and the name of the variable behind it; none behind the last. */
type Template = readonly { readonly literal: string; readonly name: string | undefined }[];

function templateOf(text: string): Template {
  const unescaped = text.replaceAll('\\n', '\n').replaceAll('\\t', '\t');
  const parts = [...unescaped.matchAll(/([^]*?)(?:\$(\w+)|$)/g)];
  return parts.map(([, literal = '', name]) => ({ literal, name }));
}

/** The variables of one request that the files make. */
export class IncludedVariables {
  readonly #maps: ReadonlyMap<string, Template>;
  readonly #valueOf: ValueOf;
  readonly #sets = new Map<string, string>();
  /** nginx works out a variable that its configuration names once, whatever becomes of the request's headers. */
  readonly #indexed = new Map<string, string>();

  constructor(
    sets: ReadonlyMap<string, Template>,
    maps: ReadonlyMap<string, Template>,
    valueOf: ValueOf,
  ) {
    this.#maps = maps;
    this.#valueOf = valueOf;
    for (const [name, template] of sets) this.#sets.set(name, this.#evaluate(template));
  }

  get(name: string): string | undefined {
    const template = this.#maps.get(name);
    return template === undefined ? this.#sets.get(name) : this.#evaluate(template);
  }

  #evaluate(template: Template): string {
    let text = '';
    for (const { literal, name } of template) {
      text += name === undefined ? literal : literal + this.#value(name);
    }
    return text;
  }

  #value(name: string): string {
    let value = this.#indexed.get(name);
    if (value === undefined) {
      value = this.#valueOf(name) ?? '';
      this.#indexed.set(name, value);
    }
    return value;
  }
}
