/** RFC 3986 §2.2: escapes of these carry meaning and stay as they are (kong.tools.uri). */
const RESERVED = new Set(Buffer.from(":/?#[]@!$&'()*+,;=%", 'latin1'));

/** kong.tools.uri.normalize(path, merge_slashes): needless escapes decoded, dot segments and `//` resolved. */
export function normalizePath(path: string): string {
  const decoded = path.replaceAll(/%([0-9a-f]{2})/gi, (escape, hex: string) => {
    const byte = Number.parseInt(hex, 16);
    return RESERVED.has(byte) ? escape.toUpperCase() : String.fromCharCode(byte);
  });
  const kept: string[] = [];
  const segments = decoded.split('/').slice(1);
  for (const segment of segments) {
    if (segment === '..') kept.pop();
    else if (segment !== '.' && segment !== '') kept.push(segment);
  }
  const isFolder = ['', '.', '..'].includes(segments.at(-1) ?? '') && kept.length > 0;
  return `/${kept.join('/')}${isFolder ? '/' : ''}`;
}

/** kong.tools.uri.escape: what must not stand in a URI is percent-encoded, byte by byte (latin1). */
export function escapePath(path: string): string {
  return path.replaceAll(
    /[^A-Za-z0-9\-._~!*'();:@&=+$,/?%#[\]]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  );
}

/** `+` and %XX of a form or query string, byte by byte (ngx.unescape_uri). */
export function unescapeArgument(text: string): string {
  return text
    .replaceAll('+', ' ')
    .replaceAll(/%([0-9a-f]{2})/gi, (_, hex: string) =>
      String.fromCharCode(Number.parseInt(hex, 16)),
    );
}

/** Name and value of the first `max` arguments; `true` for a bare name (ngx.decode_args). */
export function parseArguments(args: string, max: number): [string, string | true][] {
  return args
    .split('&')
    .filter((argument) => argument !== '' && !argument.startsWith('='))
    .slice(0, max)
    .map((argument) => {
      const equals = argument.indexOf('=');
      if (equals === -1) return [unescapeArgument(argument), true];
      return [
        unescapeArgument(argument.slice(0, equals)),
        unescapeArgument(argument.slice(equals + 1)),
      ];
    });
}
