import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { luaMatches } from '../support/gateway/admin/lua-pattern.ts';

describe('Lua patterns', () => {
  // As answered by LuaJIT's string.match.
  const answers: [pattern: string, matching: string[], others: string[]][] = [
    ['^[%w_%-%.$]+$', ['a-b', '$4m04$', '.'], ['', 'a b', 'é']],
    ['^%s*$', ['', ' \t\r\n'], ['a']],
    ['%c', ['a\u0000', '\u007f'], ['abc', 'é']],
    ['^[^%z;]*$', ['abc'], ['a;b', 'a\u0000b']],
    ['^a-b$', ['b', 'aab'], ['ac', 'a-b']],
    ['^.$', ['a', '\n'], ['é', '']],
    ['^..$', ['é'], ['a']],
    ['^[]x]+$', ['x]'], ['a']],
    ['a$b', ['a$b'], ['ab']],
    ['^(ab)%x?$', ['ab', 'abF'], ['abg']],
    ['^%W%D%S%P%A%L%U$', [' a,a1Aa'], ['aaaaaaa']],
    ['x{2}', ['x{2}'], ['xx']],
  ];
  for (const [pattern, matching, others] of answers)
    test(pattern, () => {
      for (const value of matching) assert.equal(luaMatches(value, pattern), true, value);
      for (const value of others) assert.equal(luaMatches(value, pattern), false, value);
    });

  test('what is not translated is refused', () => {
    for (const pattern of ['%b()', '%f[%w]', '(a)%1', '[a', '%'])
      assert.throws(() => luaMatches('a', pattern), TypeError, pattern);
  });
});
