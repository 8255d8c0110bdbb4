import type { Json } from '../entities.ts';
import type { Exchange } from '../exchange.ts';
import { grouped } from '../headers.ts';
import { type LuaValue, fromJson, isTable } from '../lua.ts';
import { parseArguments } from '../path.ts';

/** client_body_buffer_size: a longer body lies in a temporary file. */
const BUFFER_SIZE = 8192;

/**
 * The body, or nil when nginx wrote it to a file and `limit` (max_allowed_file_size) does not let it be read:
 * absent or negative never, 0 always.
 */
export async function readRawBody(
  exchange: Exchange,
  limit: number | undefined,
): Promise<string | undefined> {
  const body = await exchange.body();
  if (body.length > BUFFER_SIZE) {
    if (limit === undefined || limit < 0) return undefined;
    if (limit > 0 && body.length > limit) return undefined;
  }
  return body.toString('latin1');
}

/** kong.request.get_body for the content type: a table, or nil for what is none. */
export async function readForm(
  exchange: Exchange,
  { type, max, limit }: { type: string; max: number; limit: number | undefined },
): Promise<LuaValue> {
  const media = type.toLowerCase();
  if (media.startsWith('application/x-www-form-urlencoded')) {
    const body = await readRawBody(exchange, undefined);
    return body === undefined ? undefined : grouped(parseArguments(body, max));
  }
  const isJson = media.startsWith('application/json');
  if (!isJson && !media.startsWith('multipart/form-data')) return undefined;
  const body = await readRawBody(exchange, limit);
  if (body === undefined) return undefined;
  return isJson ? parseJson(body) : parseMultipart(body, type);
}

function parseJson(body: string): LuaValue {
  try {
    const json = JSON.parse(Buffer.from(body, 'latin1').toString('utf8')) as Json;
    const value = fromJson(json);
    return isTable(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function parseMultipart(body: string, type: string): LuaValue {
  const boundary = /boundary="?([^";]+)"?/i.exec(type)?.[1];
  if (boundary === undefined) return undefined;
  const fields = body.split(`--${boundary}`).flatMap((part): [string, string][] => {
    const [head = '', ...rest] = part.split('\r\n\r\n');
    const name = /^content-disposition:[^\r\n]*\bname="([^"]*)"/im.exec(head)?.[1];
    return name === undefined ? [] : [[name, rest.join('\r\n\r\n').replace(/\r\n$/, '')]];
  });
  return grouped(fields);
}
