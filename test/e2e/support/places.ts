import type { Ask } from '../../support/client.ts';

/** Names that a library, a protocol or a language gives a meaning of its own. */
const NAMES = ['__proto__', 'constructor', 'prototype', 'toString', '_method', 'length', '0'];
/** What Kong's MessagePack client makes of a member `_method` (Kong's rpc/mp_rpc.lua). */
const METHODS = ['plugin.CloseInstance', 'plugin.StartInstance', 'kong.response.exit', '{}'];

const FORM = 'application/x-www-form-urlencoded';
const JSON_TYPE = 'application/json';

/** The names in every place that a client fills in. */
function* placesOf(name: string, value: string): Generator<Ask> {
  const argument = `${name}=${encodeURIComponent(value)}`;
  const post = (type: string, body: string): Ask => ({
    method: 'POST',
    headers: { 'Content-Type': type },
    body,
  });
  yield { path: `/?${argument}` };
  yield { path: `/?${name}[a]=1&${name}&${argument}` };
  yield { path: `/${name}/${value}` };
  yield { headers: { [name]: value } };
  yield post(FORM, argument);
  yield post(FORM, `${argument}&${name}[a]=1&${name}`);
  yield post(JSON_TYPE, `{${JSON.stringify(name)}:${JSON.stringify(value)}}`);
  yield post(JSON_TYPE, `{"a":{${JSON.stringify(name)}:{"b":[]}}}`);
  yield post(JSON_TYPE, `${'['.repeat(2000)}${']'.repeat(2000)}`);
  const part = `--x\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n--x--\r\n`;
  yield post('multipart/form-data; boundary=x', part);
}

/** A request for each place and name; those that Kong's own client stumbles over have a value of each kind. */
export const STRANGE_REQUESTS: readonly Ask[] = [
  ...NAMES.flatMap((name) => [...placesOf(name, '1')]),
  ...METHODS.flatMap((value) => [...placesOf('_method', value)]),
];
