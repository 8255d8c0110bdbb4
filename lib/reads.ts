import type { PdkCall } from './pdk.ts';
import type { Trait } from './request.ts';

/** What is frozen is encoded once (lib/server/protobuf-calls.ts). */
const constant = (...parts: PdkCall): PdkCall => Object.freeze(parts);

export const CREDENTIAL = constant('kong.client.get_credential');
export const CONSUMER = constant('kong.client.get_consumer');
/**
 * Several Cookie lines and HTTP/2 crumbs arrive joined. `get_header` would fall back to the first line when a value
 * contains ", " (kong/pdk/request.lua).
 */
export const COOKIE = constant('kong.nginx.get_var', 'http_cookie');
export const REQUEST_LINE = constant('kong.nginx.get_var', 'request');
/** Seconds with a resolution of milliseconds, since the first bytes of the request were read (ngx_http_core_module). */
export const AGE = constant('kong.nginx.get_var', 'request_time');
export const GROUPS = constant('kong.nginx.get_ctx', 'authenticated_groups');
/** As many lines as Kong hands out; of a request with more we know that it has too many to be known. */
export const MAX_LINES = 1000;
export const HEADERS = constant('kong.request.get_headers', MAX_LINES);

const headerCalls = new Map<string, PdkCall>();

/** @param name one of few: ours, or a configuration's */
export function header(name: string): PdkCall {
  const call = headerCalls.get(name) ?? constant('kong.request.get_header', name);
  headerCalls.set(name, call);
  return call;
}

export const TRAITS: Record<Exclude<Trait, 'user-agent'>, PdkCall> = {
  ip: constant('kong.client.get_forwarded_ip'),
  scheme: constant('kong.request.get_forwarded_scheme'),
};

/** Request line, Cookie header and more in one variable, where nginx/session-guard.conf is included. */
export const VIEW = constant('kong.nginx.get_var', 'session_guard');
/** The same, and what Kong's auth plugins have said by now, where nginx/session-guard-http.conf is included. */
export const TURN = constant('kong.nginx.get_var', 'session_guard_turn');
