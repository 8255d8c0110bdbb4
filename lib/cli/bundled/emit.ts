import { stringify } from 'yaml';
import { NAME } from '../../schema.ts';
import { printable } from '../format.ts';
import type { Conversion } from './convert.ts';
import type { Fields, Found, Scope } from './found.ts';
import { DATABASE_REFERENCE, SECRET_REFERENCE } from './secret.ts';

/** A configuration that can be printed. */
export interface Plugin {
  readonly scope: Exclude<Scope, { kind: 'unsupported' }>;
  readonly config: Fields;
  readonly entity: Fields;
}

export const FORMATS = ['admin-api', 'yaml', 'kongplugin'] as const;
export type Format = (typeof FORMATS)[number];

/** The conversions that led to a configuration. */
export const pluginsOf = (conversions: readonly Conversion[]): Plugin[] =>
  conversions.flatMap(({ config, found }) =>
    config === undefined || found.scope.kind === 'unsupported'
      ? []
      : [{ scope: found.scope, config, entity: entityOf(found) }],
  );

/** The text of all configurations in one format, with a comment on what has to be in Kong's environment. */
export function emit(format: Format, plugins: readonly Plugin[]): string {
  const body = EMITTERS[format](plugins);
  return `${commentOn(plugins)}${body}`;
}

const EMITTERS: Record<Format, (plugins: readonly Plugin[]) => string> = {
  'admin-api': (plugins) => plugins.map(curl).join('\n'),
  yaml: declarative,
  kongplugin: (plugins) => resources(plugins).map(toYaml).join('---\n'),
};

function commentOn(plugins: readonly Plugin[]): string {
  const all = JSON.stringify(plugins);
  const variables = [
    ['SESSION_SECRET', SECRET_REFERENCE],
    ['SESSION_DATABASE_URL', DATABASE_REFERENCE],
  ].filter(([, reference]) => all.includes(reference ?? ''));
  if (variables.length === 0) return '';
  return `# In the environment of Kong: ${variables.map(([name]) => name).join(' and ')}\n`;
}

const PROTOCOLS = new Set<unknown>(['grpc', 'grpcs', 'http', 'https']);

/** What carries over besides the configuration; ids, times and instance names are those of the other plugin. */
function entityOf({ entity }: Found): Fields {
  const protocols = listOf(entity['protocols']).filter((protocol) => PROTOCOLS.has(protocol));
  const tags = listOf(entity['tags']).filter(isTag);
  return {
    ...(entity['enabled'] === false && { enabled: false }),
    ...(protocols.length > 0 && { protocols }),
    ...(tags.length > 0 && { tags }),
  };
}

/** Kong refuses commas and slashes in tags. */
const isTag = (tag: unknown): boolean =>
  typeof tag === 'string' && /^[^,/]+$/.test(tag) && printable(tag) === tag;
const listOf = (value: unknown): unknown[] => (Array.isArray(value) ? [...new Set(value)] : []);

function curl({ scope, config, entity }: Plugin): string {
  const parent = scope.kind === 'global' ? '' : `/${scope.kind}s/${encodeURIComponent(scope.name)}`;
  const body = JSON.stringify({ name: NAME, ...entity, config }, undefined, 2);
  const url = quote(`http://localhost:8001${parent}/plugins`);
  return `curl -sS ${url} -H 'Content-Type: application/json' -d ${quote(body)}\n`;
}

/** One word for a POSIX shell. */
const quote = (text: string): string =>
  /^[\w:./-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;

function declarative(plugins: readonly Plugin[]): string {
  return toYaml({
    _format_version: '3.0',
    plugins: plugins.map(({ scope, config, entity }) => ({
      name: NAME,
      ...(scope.kind !== 'global' && { [scope.kind]: scope.name }),
      ...entity,
      config,
    })),
  });
}

function resources(plugins: readonly Plugin[]): object[] {
  const taken = new Set<string>();
  return plugins.map(({ scope, config, entity: { enabled, protocols } }) => {
    const isGlobal = scope.kind === 'global';
    const name = isGlobal ? NAME : `${NAME}-${scope.kind}-${label(scope.name)}`;
    return {
      apiVersion: 'configuration.konghq.com/v1',
      kind: isGlobal ? 'KongClusterPlugin' : 'KongPlugin',
      metadata: {
        name: unique(name, taken),
        ...(isGlobal && {
          labels: { global: 'true' },
          annotations: { 'kubernetes.io/ingress.class': 'kong' },
        }),
      },
      plugin: NAME,
      ...(enabled === false && { disabled: true }),
      ...(protocols !== undefined && { protocols }),
      config,
    };
  });
}

/** RFC 1123, as names in Kubernetes have to be. */
const label = (name: string): string =>
  name
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-+|-+$/g, '')
    .slice(0, 40)
    .replace(/-$/, '') || 'unnamed';

function unique(name: string, taken: Set<string>): string {
  let candidate = name;
  for (let number = 2; taken.has(candidate); number++) candidate = `${name}-${number}`;
  taken.add(candidate);
  return candidate;
}

/** Quoted wherever YAML 1.1, which Kong reads, would see something else than a string. */
const toYaml = (value: object): string =>
  stringify(value, { compat: 'yaml-1.1', lineWidth: 0, singleQuote: true });
