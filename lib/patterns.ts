import type { Pattern } from './field.ts';

/** RFC 9110 5.6.2 token, which is what RFC 6265 4.1.1 allows as the name of a cookie. */
export const TOKEN: Pattern = {
  lua: "^[%w!#%$%%&'%*%+%-%.%^_`|~]+$",
  js: /^[A-Za-z0-9!#$%&'*+\-.^_`|~]+$/,
  err: "must consist of letters, digits and !#$%&'*+-.^_`|~",
};

export const PATH: Pattern = {
  lua: '^/[%w!#%$%%&\'%(%)%*%+,%-%./:<=>%?@%[%]%^_`{|}~"\\]*$',
  js: /^\/[A-Za-z0-9!#$%&'()*+,\-./:<=>?@[\]^_`{|}~"\\]*$/,
  err: 'must begin with / and have no semicolon, space or control character',
};

export const DOMAIN: Pattern = {
  lua: '^%.?[%w][%w%-%.]*$',
  js: /^\.?[A-Za-z0-9][A-Za-z0-9\-.]*$/,
  err: 'must be a host name such as example.com or .example.com, without scheme, port or path',
};

export const WORD: Pattern = {
  lua: '^[%w%p]+$',
  js: /^[\x21-\x7e]+$/,
  err: 'must consist of printable ASCII characters without spaces',
};

export const REDIRECT: Pattern = {
  lua: '^[/h][^%s%c\\\\]*$',
  luaNot: '^//',
  js: /^(\/(?!\/)|https?:\/\/[^/])[^\s\\]*$/,
  err: 'must be a path such as /bye or a URL that begins with https:// or http://',
};

export const IDENTIFIER: Pattern = {
  lua: '^[a-z_][a-z0-9_]*$',
  js: /^[a-z_][a-z0-9_]*$/,
  err: 'must be a lower-case SQL identifier such as session_guard',
};

export const POSTGRES_URL: Pattern = {
  lua: '^postgresq?l?://',
  js: /^postgres(ql)?:\/\//,
  err: 'must begin with postgres:// or postgresql://',
};
