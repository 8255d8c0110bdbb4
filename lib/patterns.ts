import type { Pattern } from './field.ts';

/** A Lua pattern for strings that begin with `text`, which is ASCII, in any case. */
export const beginning = (text: string): string =>
  `^${text.replaceAll(/[^a-z]/gi, '%$&').replaceAll(/[a-z]/gi, bothCases)}`;

const bothCases = (letter: string): string => `[${letter.toUpperCase()}${letter.toLowerCase()}]`;

/** RFC 9110 5.6.2 token, which is what RFC 6265 4.1.1 allows as the name of a cookie. */
export const TOKEN: Pattern = {
  lua: ["^[%w!#%$%%&'%*%+%-%.%^_`|~]+$"],
  js: /^[A-Za-z0-9!#$%&'*+\-.^_`|~]+$/,
  err: "must consist of letters, digits and !#$%&'*+-.^_`|~",
};

/** Path-value of RFC 6265 4.1.1 without space and `<`, as the package `cookie` writes it. */
export const PATH: Pattern = {
  lua: ['^/[%w!#%$%%&\'%(%)%*%+,%-%./:=>%?@%[%]%^_`{|}~"\\]*$'],
  js: /^\/[A-Za-z0-9!#$%&'()*+,\-./:=>?@[\]^_`{|}~"\\]*$/,
  err: 'must begin with / and have no semicolon, <, space, control or non-ASCII character',
};

const LONGEST_LABEL = 63;

/** Domain-value of RFC 6265 4.1.1 with the leading dot of RFC 2109, as the package `cookie` writes it. */
export const DOMAIN: Pattern = {
  lua: ['^%.?%w[%w%-%.]*$'],
  luaNot: ['%.%.', '%.%-', '%-%.', '[%.%-]$', '[%w%-]'.repeat(LONGEST_LABEL + 1)],
  js: /^\.?[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/i,
  err:
    `must be a host name such as example.com or .example.com, labels of up to ${LONGEST_LABEL} letters, digits and ` +
    'inner dashes with no final dot, without scheme, port or path',
};

export const WORD: Pattern = {
  lua: ['^[%w%p]+$'],
  js: /^[\x21-\x7e]+$/,
  err: 'must consist of printable ASCII characters without spaces',
};

/** Visible ASCII without the backslash, which browsers take for a slash. What a header may hold (RFC 9110 5.5). */
const LOCATION = '[%w!-/:-@%[%]^-`{-~]';

export const REDIRECT: Pattern = {
  lua: [`^/${LOCATION}*$`, `^https?://${LOCATION}+$`],
  luaNot: ['^//', '^https?:///'],
  js: /^(\/(?!\/)|https?:\/\/(?=[^/]))[!-[\]-~]*$/,
  err:
    'must be a path such as /bye or a URL that begins with https:// or http://, without spaces and backslashes, and ' +
    'with all but ASCII percent-encoded (RFC 3986)',
};

export const IDENTIFIER: Pattern = {
  lua: ['^[a-z_][a-z0-9_]*$'],
  js: /^[a-z_][a-z0-9_]*$/,
  err: 'must be a lower-case SQL identifier such as session_guard',
};

export const POSTGRES_URL: Pattern = {
  lua: ['^postgres://', '^postgresql://'],
  js: /^postgres(ql)?:\/\//,
  err: 'must begin with postgres:// or postgresql://',
};

/** Example secrets of Kong's own documentation: published, hence worthless, and so is one that was doubled to be long enough. */
const PLACEHOLDERS = ['change-this-secret', 'super-secret', 'your-secret'];

/** As Lua's %p. */
const PUNCTUATION = '[!-/:-@[-`{-~]';

export const SECRET: Pattern = {
  luaNot: PLACEHOLDERS.map((text) => `${beginning(text)}%p?${beginning(text).slice(1)}`),
  js: new RegExp(`^(?!(${PLACEHOLDERS.join('|')})${PUNCTUATION}?\\1)`, 'i'),
  err: 'is a published example; make one with `openssl rand -base64 32`',
};
