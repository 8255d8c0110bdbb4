/** A JSON value as a Lua expression; `null` becomes `ngx.null`, as Kong's schemas have it. */
export function toLua(value: unknown, indent = ''): string {
  if (value === null) return 'ngx.null';
  if (typeof value === 'string') return quote(value);
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (typeof value !== 'object') throw new TypeError('no JSON value');
  const inner = `${indent}  `;
  const items = Array.isArray(value)
    ? value.map((item) => toLua(item, inner))
    : Object.entries(value).map(([name, item]) => `${keyOf(name)} = ${toLua(item, inner)}`);
  const line = `{ ${items.join(', ')} }`;
  if (items.length === 0) return '{}';
  if (line.length + indent.length <= 100 && !line.includes('\n')) return line;
  return `{\n${items.map((item) => `${inner}${item},\n`).join('')}${indent}}`;
}

/** Lua 5.1 keywords cannot be bare keys. */
const KEYWORDS = new Set(
  'and break do else elseif end false for function if in local nil not or repeat return then true until while'.split(
    ' ',
  ),
);

const keyOf = (name: string): string =>
  /^[A-Za-z_]\w*$/.test(name) && !KEYWORDS.has(name) ? name : `[${quote(name)}]`;

/** Lua 5.1 knows no \x or \u: other octets than printable ASCII are written in decimal. */
function quote(text: string): string {
  let quoted = '';
  for (const octet of Buffer.from(text)) {
    const character = String.fromCharCode(octet);
    if (character === '"' || character === '\\') quoted += `\\${character}`;
    else if (octet >= 0x20 && octet < 0x7f) quoted += character;
    else quoted += `\\${String(octet).padStart(3, '0')}`;
  }
  return `"${quoted}"`;
}
