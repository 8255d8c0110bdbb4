import type { LogoutSettings } from './config.ts';
import type { Request, RequestBody } from './request.ts';

/** Kong looks at the first 100 arguments of a query or form only (lua_max_req_headers' sister limit in its PDK). */
const MAX_ARGUMENTS = 100;

/**
 * Whether the request asks to sign out: an allowed method, exactly as written, and the argument present in the
 * query or, where configured, in the body. Presence counts, whatever the value (bundled-behaviour.md §9).
 */
export async function isLogout(request: Request, settings: LogoutSettings): Promise<boolean> {
  if (settings.methods.size === 0) return false;
  const { method, query } = await request.line();
  if (!settings.methods.has(method)) return false;
  if (hasArgument(query, settings.queryArg)) return true;
  // A GET has no body worth reading, whatever a client sends with it.
  if (!settings.readBody || method === 'GET') return false;
  const body = await request.body();
  return body !== undefined && (await bodyHas(body, settings.postArg));
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

async function bodyHas({ type, bytes }: RequestBody, name: string): Promise<boolean> {
  const essence = type.split(';', 1)[0]?.trim().toLowerCase() ?? '';
  switch (essence) {
    case 'application/x-www-form-urlencoded':
      return hasArgument(Buffer.from(bytes).toString(), name);
    case 'application/json':
      return jsonHas(bytes, name);
    case 'multipart/form-data':
      return multipartHas(type, bytes, name);
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

async function multipartHas(type: string, bytes: Uint8Array, name: string): Promise<boolean> {
  try {
    const form = await new Response(Buffer.from(bytes), {
      headers: { 'content-type': type },
    }).formData();
    return form.has(name);
  } catch {
    return false;
  }
}
