const PARAMETER =
  /[ \t]*;[ \t]*([\w!#$%&'*+.^`|~-]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^;" \t]+))/gy;
const DISPOSITION = /^content-disposition:[ \t]*form-data(?=[ \t]*;)/im;

/** The value of a parameter, quoted or not (RFC 9110 5.6.6); names have no case. */
function parameterOf(text: string, wanted: string): string | undefined {
  for (const [, name = '', quoted, token] of text.matchAll(PARAMETER)) {
    if (name.toLowerCase() === wanted) return quoted?.replaceAll(/\\(.)/g, '$1') ?? token;
  }
  return undefined;
}

/**
 * The names of the fields of a multipart form (RFC 7578), files included: none where it is cut off. What stands before
 * the first delimiter or behind the closing one belongs to nobody (RFC 2046 5.1.1). Node's own parser takes neither, and
 * of `Content-Disposition` just the spelling of browsers.
 *
 * @param type the Content-Type
 * @param body octets, as latin1
 */
export function fieldNames(type: string, body: string): string[] {
  const boundary = parameterOf(type.slice(type.indexOf(';')), 'boundary');
  if (boundary === undefined) return [];
  const names: string[] = [];
  for (const piece of `\r\n${body}`.split(`\r\n--${boundary}`).slice(1)) {
    if (piece.startsWith('--')) return names;
    const name = nameOf(piece);
    if (name !== undefined) names.push(Buffer.from(name, 'latin1').toString());
  }
  return [];
}

/** Of one part: the rest of the delimiter's line, the header, an empty line and the content. */
function nameOf(part: string): string | undefined {
  const [, header] = /^[ \t]*\r\n(.*?)\r\n\r\n/s.exec(part) ?? [];
  const lines = header?.replaceAll(/\r\n[ \t]+/g, ' ') ?? '';
  const found = DISPOSITION.exec(lines);
  if (found === null) return undefined;
  const [parameters = ''] = lines.slice(found.index + found[0].length).split('\r\n', 1);
  return parameterOf(parameters, 'name');
}
