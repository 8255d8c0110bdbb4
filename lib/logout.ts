import type { LogoutSettings } from './config.ts';
import { fieldNames } from './multipart.ts';
import type { Request, RequestBody } from './request.ts';

/** Kong looks at the first 100 arguments of a query or form only (lua_max_req_headers' sister limit in its PDK). */
const MAX_ARGUMENTS = 100;

/**
 * Whether the request asks to sign out: an allowed method, exactly as written, and the argument present in the
 * query or, where configured, in the body. Presence counts, whatever the value (as in kong/plugins/session).
 */
export async function isLogout(request: Request, settings: LogoutSettings): Promise<boolean> {
  if (settings.methods.size === 0) return false;
  const { method, query } = await request.line();
  if (!settings.methods.has(method)) return false;
  if (hasArgument(query, settings.queryArg)) return true;
  // A GET has no body worth reading, whatever a client sends with it.
  if (!settings.readBody || method === 'GET') return false;
  const body = await request.body();
  return body !== undefined && bodyHas(body, settings.postArg);
}

/** Separated by `&` alone, decoded as application/x-www-form-urlencoded, as OpenResty does it. */
function hasArgument(query: string, name: string): boolean {
  const pairs = query.split('&', MAX_ARGUMENTS);
  return pairs.some((pair) => decode(pair.split('=', 1)[0] ?? '') === name);
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return undefined;
  }
}

function bodyHas({ type, bytes }: RequestBody, name: string): boolean {
  const [, essence = ''] = /^[ \t]*([^ \t;]*)[ \t]*(?:;|$)/.exec(type) ?? [];
  switch (essence.toLowerCase()) {
    case 'application/x-www-form-urlencoded':
      return hasArgument(Buffer.from(bytes).toString(), name);
    case 'application/json':
      return jsonHas(bytes, name);
    case 'multipart/form-data':
      return fieldNames(type, Buffer.from(bytes).toString('latin1')).includes(name);
    default:
      return false;
  }
}

function jsonHas(bytes: Uint8Array, name: string): boolean {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString());
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
    return Object.hasOwn(value, name) && (value as Record<string, unknown>)[name] !== false;
  } catch {
    return false;
  }
}
