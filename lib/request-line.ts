import type { RequestLine } from './request.ts';

/** `GET /path?query HTTP/1.1`, as nginx received it: any octet but SP may be part of the target (RFC 9112 3). */
export function parseRequestLine(line: string): RequestLine {
  const [, method = '', target = ''] = /^([^ ]+) +([^ ]+)/.exec(line) ?? [];
  const [beforeFragment = ''] = target.split('#', 1);
  const mark = beforeFragment.indexOf('?');
  if (mark === -1) return { method, path: beforeFragment, query: '' };
  return { method, path: beforeFragment.slice(0, mark), query: beforeFragment.slice(mark + 1) };
}
