import { type Entity, type Json, idOf } from './entities.ts';
import type { Exchange, RouteMatch } from './exchange.ts';
import { escapePath, normalizePath } from './path.ts';
import { strings } from './plugins/plugin.ts';
import type { View } from './view.ts';

interface Candidate {
  readonly route: Entity;
  readonly prefix: string;
  /** More attributes beat fewer, a plain host beats a wildcard, a longer path a shorter one, the older route the newer. */
  readonly rank: readonly number[];
}

/** The route for the request, chosen as the `traditional` router does; undefined is Kong's 404. */
export function matchRoute(view: View, exchange: Exchange): RouteMatch | undefined {
  const path = normalizePath(exchange.rawPath);
  const candidates = view.routes.flatMap((route) => candidate(route, exchange, path));
  const best = candidates.toSorted((a, b) => compareRanks(b.rank, a.rank))[0];
  if (best === undefined) return undefined;
  const service = view.service(idOf(best.route['service']));
  const rest = best.route['strip_path'] === false ? path : path.slice(best.prefix.length);
  const upstreamPath = escapePath(joinPaths(service?.['path'], rest));
  return { route: best.route, service, prefix: best.prefix, upstreamPath };
}

function candidate(route: Entity, exchange: Exchange, path: string): Candidate[] {
  const [hosts, paths] = [strings(route['hosts']), strings(route['paths'])];
  const methods = strings(route['methods']);
  if (methods.length > 0 && !methods.includes(exchange.incoming.method)) return [];
  const host = hosts.find((pattern) => matchesHost(pattern, exchange.host));
  if (hosts.length > 0 && host === undefined) return [];
  const prefixes = paths.filter((prefix) => path.startsWith(prefix));
  if (paths.length > 0 && prefixes.length === 0) return [];
  const prefix = prefixes.toSorted((a, b) => b.length - a.length)[0] ?? '/';
  const attributes = [hosts, paths, methods].filter((values) => values.length > 0).length;
  const isPlain = host !== undefined && !host.includes('*');
  const age = -Number(route['created_at'] ?? 0);
  return [{ route, prefix, rank: [attributes, Number(isPlain), prefix.length, age] }];
}

function matchesHost(pattern: string, host: string): boolean {
  const name = pattern.replace(/:\d+$/, '').toLowerCase();
  if (name.startsWith('*.')) return host.endsWith(name.slice(1));
  if (name.endsWith('.*')) return host.startsWith(name.slice(0, -1));
  return host === name;
}

function compareRanks(a: readonly number[], b: readonly number[]): number {
  const differing = a.findIndex((value, i) => value !== b[i]);
  return differing === -1 ? 0 : (a[differing] ?? 0) - (b[differing] ?? 0);
}

/** path_handling v0: the service's path and the rest of the request's, with one slash between. */
function joinPaths(servicePath: Json | undefined, rest: string): string {
  const base = typeof servicePath === 'string' ? servicePath.replace(/\/$/, '') : '';
  return `${base}/${rest.replace(/^\//, '')}`;
}
