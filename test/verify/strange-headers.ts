/** What the fields of a protected header have been elsewhere, and what they are called elsewhere. */
const FIELDS: ReadonlyMap<string, readonly unknown[]> = new Map<string, unknown[]>([
  [
    'alg',
    ['none', 'None', 'A256KW', 'A256GCMKW', 'PBES2-HS512+A256KW', 'ECDH-ES', 'RSA-OAEP', 'DIR', ''],
  ],
  ['enc', ['A128GCM', 'A192GCM', 'A256CBC-HS512', 'none', 'a256gcm', '', undefined]],
  ['zip', ['DEF', 'none', '']],
  ['crit', [['exp'], ['zip'], [], 'exp', ['b64']]],
  ['typ', ['sg-remember', 'sg-data', 'JWT', 'SG-SESSION', '', undefined]],
  ['kid', [undefined, null, 0, [], {}]],
  ['jku', ['http://127.0.0.1:1/keys.json']],
  ['x5u', ['http://127.0.0.1:1/chain.pem']],
  ['jwk', [{ kty: 'oct', k: 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA' }]],
  ['epk', [{ kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA' }]],
  ['apu', ['QWxpY2U']],
  ['apv', ['Qm9i']],
  ['p2c', [2_000_000_000]],
  ['p2s', ['AAAAAAAAAAA']],
  ['iv', ['AAAAAAAAAAAAAAAA']],
  ['tag', ['AAAAAAAAAAAAAAAAAAAAAA']],
  ['cty', ['JWT']],
  ['b64', [false]],
  ['exp', [4_102_444_800]],
  ['__proto__', [{ alg: 'dir' }]],
]);

/** Texts of protected headers, each of which differs from the given one. */
export function strangeHeaders(own: string): string[] {
  const fields = JSON.parse(own) as Readonly<Record<string, unknown>>;
  const pairs = Object.entries(fields);
  const altered = [...FIELDS].flatMap(([name, values]) =>
    values.map((value) => JSON.stringify({ ...fields, [name]: value })),
  );
  const all = [
    ...altered,
    ...pairs.map(([name]) => JSON.stringify({ ...fields, [name]: undefined })),
    ...pairs.map(([name]) => JSON.stringify({ ...fields, [name.toUpperCase()]: fields[name] })),
    JSON.stringify(Object.fromEntries(pairs.toReversed())),
    ` ${own}`,
    `${own} `,
    `${own}\n`,
    `${own}{}`,
    `\ufeff${own}`,
    own.replace(',', ', '),
    own.replace('{', '{"alg":"none",'),
    own.replace('}', ',"alg":"none"}'),
    own.replace('"dir"', '"\\u0064ir"'),
    own.replace('"alg"', '"\\u0061lg"'),
    '{}',
    '[]',
    'null',
    '""',
    '',
  ];
  return all.filter((header) => header !== own);
}
