import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkCookie, deleteCookies, findOwnCookies, setCookies } from '../../lib/cookie.ts';
import type { WrittenCookie } from '../../lib/cookie.ts';

const settings: WrittenCookie = {
  name: 'session',
  path: '/',
  domain: undefined,
  sameSite: 'Strict',
  httpOnly: true,
  secure: true,
  partitioned: false,
  priority: undefined,
  maxAge: undefined,
};
const isOurs = (value: string) => value.startsWith('ours');
const find = (header: string, name = 'session') => findOwnCookies(header, name, isOurs);
const nothing = find('');

test('the name is matched octet by octet, nothing is decoded or unquoted', () => {
  const cases: [header: string, values: string[]][] = [
    ['session=ours1', ['ours1']],
    ['a=b; session=ours1; c=d', ['ours1']],
    ['a=b;session=ours1', ['ours1']],
    ['session=ours1; session=ours2', ['ours1', 'ours2']],
    ['SESSION=ours1; Session=ours2', []],
    ['SESSION=ours1; session=theirs', []],
    ['session =ours1', []],
    ['session= ours1', []],
    ['session="ours1"', []],
    ['xsession=ours1; sessions=ours2', []],
    ['=session=ours1; session', []],
    ['\u00a0session=ours1', []],
    ['$Version=1; session=ours1', ['ours1']],
    ['session=theirs; session=ours1', ['ours1']],
    ['__proto__=x; constructor=y', []],
  ];
  for (const [header, values] of cases) assert.deepEqual(find(header).values, values, header);
});

test('names with characters that mean something in a regular expression are names', () => {
  assert.deepEqual(find('$4m04$=ours1', '$4m04$').values, ['ours1']);
  assert.deepEqual(find('aXb=ours1', 'a.b').values, []);
});

test('the rest of the header keeps its order and every octet', () => {
  const cases: [header: string, rest: string | undefined][] = [
    ['a=1; session=ours1;  b=\xe9"; c', 'a=1;  b=\xe9"; c'],
    ['session=ours1; b=2', 'b=2'],
    ['a=1; session=ours1', 'a=1'],
    ['session=ours1', ''],
    ['session=theirs; a=1', undefined],
    ['a=1', undefined],
    ['session=theirs; session=ours1', 'session=theirs'],
    ['session=ours1; session2=other', 'session2=other'],
  ];
  for (const [header, rest] of cases) assert.equal(find(header).rest, rest, header);
});

test('a Set-Cookie line has the configured attributes and no others', () => {
  assert.deepEqual(setCookies(settings, 'v', nothing), [
    'session=v; Path=/; HttpOnly; Secure; SameSite=Strict',
  ]);
  const open = { ...settings, sameSite: undefined, httpOnly: false, secure: false };
  assert.deepEqual(setCookies({ ...open, domain: '.xyz.com', path: '/p' }, 'v', nothing), [
    'session=v; Domain=.xyz.com; Path=/p',
  ]);
});

test('prefix, Partitioned, Priority and a lifetime', () => {
  const [line = ''] = setCookies(
    { ...settings, name: '__Host-s', partitioned: true, priority: 'High', maxAge: 3600 },
    'v',
    nothing,
  );
  assert.match(
    line,
    /^__Host-s=v; Max-Age=3600; Path=\/; Expires=[^;]+; HttpOnly; Secure; Partitioned; Priority=High; SameSite=Strict$/,
  );
  const expires = Date.parse(/Expires=([^;]+)/.exec(line)?.[1] ?? '');
  assert.ok(Math.abs(expires - Date.now() - 3_600_000) < 2000);
});

test('a deletion names the same cookie: same name, Path, Domain, Secure and SameSite', () => {
  const sub = { ...settings, domain: 'xyz.com' };
  assert.deepEqual(deleteCookies(sub, find('session=ours1')), [
    'session=; Max-Age=0; Domain=xyz.com; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Secure; SameSite=Strict',
  ]);
  assert.deepEqual(deleteCookies(settings, find('session=theirs; session2=x')), []);
});

/** What a browser would send back. */
const header = (lines: string[]): string =>
  lines.map((line) => line.slice(0, line.indexOf(';'))).join('; ');

test('a long value is cut into cookies of at most 4096 octets and joined again', () => {
  for (const length of [100, 4087, 4088, 4089, 8000, 12_345, 36_700]) {
    const value = `ours${'x'.repeat(length - 4)}`;
    const lines = setCookies(settings, value, nothing);
    for (const pair of header(lines).split('; ')) assert.ok(pair.length <= 4096, `${length}`);
    const found = find(`a=1; ${header(lines)}; b=2`);
    assert.ok(found.values[0] === value, `${length}`);
    assert.equal(found.rest, 'a=1; b=2');
    assert.equal(deleteCookies(settings, found).length, lines.length);
  }
});

test('cookies are filled to the last octet, and one more octet begins the next', () => {
  const room = 4096 - 'session'.length - 2;
  const cases: [length: number, count: number][] = [
    [room + 1, 1],
    [room + 2, 2],
    [2 * room - 2, 2],
    [2 * room - 1, 3],
    [9 * room - 2, 9],
  ];
  for (const [length, count] of cases) {
    const lines = setCookies(settings, 'x'.repeat(length), nothing);
    const pairs = header(lines).split('; ');
    assert.equal(pairs.length, count, `${length}`);
    for (const pair of pairs.slice(0, -1))
      assert.equal(
        pair.length,
        count === 1 ? 4096 : 4095 + Number(!pair.startsWith('session=')),
        `${length}`,
      );
  }
  assert.throws(() => setCookies(settings, 'x'.repeat(9 * room - 1), nothing));
});

test('a value of just one octet too many is nobody of ours', () => {
  const room = 4096 - 'session'.length - 2;
  assert.equal(find(`session=${'ours'.padEnd(room + 1, 'x')}`).values.length, 1);
  assert.deepEqual(find(`session=${'ours'.padEnd(room + 2, 'x')}`), nothing);
});

test('a name without a value is no cookie of ours', () => {
  const any = (text: string, name: string) => findOwnCookies(text, name, () => true);
  assert.deepEqual(any('session', 'session').values, []);
  assert.deepEqual(any('sessionx', 'session').values, []);
  assert.deepEqual(any('a=1; session', 'session').values, []);
  assert.deepEqual(any('xa=1', 'a').values, []);
});

test('only a digit from 2 to 9 before a tilde is a number of chunks', () => {
  for (const value of ['2x', 'x~y', '1~y', '0~y', ':~y', '2']) {
    const found = findOwnCookies(`session=${value}; session2=z`, 'session', () => true);
    assert.deepEqual(found.values, [value]);
    assert.equal(found.rest, 'session2=z');
  }
});

test('chunks are numbered from 2 to 9', () => {
  const lines = setCookies(settings, `ours${'x'.repeat(36_000)}`, nothing);
  const whole = header(lines);
  const found = find(
    `${whole}; session0=a; session1=b; session:=c; session/=d; sessionx2=e; xession2=f`,
  );
  assert.deepEqual(found.chunks, [2, 3, 4, 5, 6, 7, 8, 9]);
  assert.equal(
    found.rest,
    'session0=a; session1=b; session:=c; session/=d; sessionx2=e; xession2=f',
  );
  const names = deleteCookies(settings, found).map((line) => line.slice(0, line.indexOf('=')));
  assert.deepEqual(names, ['session', ...[2, 3, 4, 5, 6, 7, 8, 9].map((n) => `session${n}`)]);
  const reversed = find(whole.split('; ').toReversed().join('; '));
  assert.deepEqual(reversed.chunks, found.chunks);
  assert.deepEqual(reversed.values, found.values);
});

test('of two chunks with one number the first counts', () => {
  const two = header(setCookies(settings, `ours${'x'.repeat(5000)}`, nothing));
  assert.deepEqual(find(`${two}; session2=theirs`).values, find(two).values);
  assert.ok(find(`session2=theirs; ${two}`).values[0]?.endsWith('xtheirs'));
});

test('more than nine cookies are too many', () => {
  assert.throws(() => setCookies(settings, 'x'.repeat(36_900), nothing), { code: 'ERR_TOO_LARGE' });
});

test('chunks that are missing, swapped, foreign or cut otherwise are no value', () => {
  const lines = setCookies(settings, `ours${'x'.repeat(9000)}`, nothing);
  const [one = '', two = '', three = ''] = header(lines).split('; ');
  const moved = `${one.slice(0, -1)}; session2=x${two.slice('session2='.length)}; ${three}`;
  const headers = [
    `${one}; ${three}`,
    `${one}; ${two}`,
    `${two}; ${three}`,
    `${one}; ${three.replace('session3', 'session2')}; ${two.replace('session2', 'session3')}`,
    `${one}; ${two.replace('session2', 'session02')}; ${three}`,
    moved,
    one.replace('3~', '9~') + `; ${two}; ${three}`,
    one.replace('3~', '0~'),
    'session=1~ours',
    'session=2~ours; session2=x',
    `session=${'2~ours'.padEnd(4096 - 'session'.length - 2, 'x')}; session2=`,
  ];
  for (const bad of headers) assert.equal(find(bad).values.length, 0, bad.slice(0, 40));
});

test('a shorter value deletes the chunks of a longer one before it', () => {
  const long = setCookies(settings, `ours${'x'.repeat(9000)}`, nothing);
  const lines = setCookies(settings, 'ours-short', find(header(long)));
  assert.deepEqual(
    lines.map((line) => line.slice(0, line.indexOf(';'))),
    ['session=ours-short', 'session2=', 'session3='],
  );
});

test('cookies of other applications that look like our chunks stay', () => {
  const two = header(setCookies(settings, `ours${'x'.repeat(5000)}`, nothing));
  const found = find(`${two}; session3=theirs; session9=theirs`);
  assert.equal(found.rest, 'session3=theirs; session9=theirs');
  assert.equal(deleteCookies(settings, found).length, 2);
});

test('chunks without their first are kept from the upstream, and deleted', () => {
  const pairs = header(setCookies(settings, `ours${'x'.repeat(9000)}`, nothing)).split('; ');
  const [first = '', second = '', third = ''] = pairs;
  const names = (lines: string[]) => lines.map((line) => line.slice(0, line.indexOf('=')));
  const gone = find(`a=1; ${second}; ${third}`);
  assert.deepEqual(gone, { values: [], chunks: [2, 3], rest: 'a=1' });
  assert.deepEqual(names(deleteCookies(settings, gone)), ['session2', 'session3']);
  const replaced = find(`session=ours1; ${second}; ${third}; session4=theirs`);
  assert.deepEqual(replaced, { values: ['ours1'], chunks: [2, 3], rest: 'session4=theirs' });
  assert.deepEqual(names(setCookies(settings, 'ours2', replaced)), [
    'session',
    'session2',
    'session3',
  ]);
  const two = setCookies(settings, `ours${'y'.repeat(5000)}`, nothing);
  const shorter = find(`${header(two)}; ${second.replace('session2', 'session3')}; session5=b`);
  assert.deepEqual([shorter.chunks, shorter.rest], [[2, 3], 'session5=b']);
  for (const kept of [
    third,
    `session=ours1; session2=theirs; ${third}`,
    `${first}; ${second}`,
    `session=theirs; ${second}; ${third}`,
    `session=theirs; session=ours1; ${second}; ${third}`,
    `${second.slice(0, -1)}; ${third}`,
    `${second}x; ${third}`,
    `${second.slice(0, -8)}.abc.def; ${third}`,
    `${second.slice(0, -1)}~; ${third}`,
  ]) {
    assert.deepEqual(find(kept).chunks, [], `${kept.slice(0, 20)}…${kept.slice(-20)}`);
  }
});

test('chunks without their first are looked for up to the ninth, and not among those of a living cookie', () => {
  const room = 4096 - 'session='.length - 1;
  const [full, short] = ['x'.repeat(room), 'x'];
  assert.deepEqual(find(`session8=${full}; session9=${short}`).chunks, [8, 9]);
  const value = `2~ours${full}`;
  const two = `session=${value.slice(0, room)}; session2=${full}`;
  assert.deepEqual(find(`${two}; session3=${short}`), {
    values: [`ours${full.slice(0, room - 6)}${full}`],
    chunks: [2],
    rest: `session3=${short}`,
  });
});

test('the same cookie twice is one', () => {
  assert.deepEqual(find('session=ours1; session=ours1; a=1'), {
    values: ['ours1'],
    chunks: [],
    rest: 'a=1',
  });
});

test('only the first few cookies of our name are tried, all are kept from the upstream', () => {
  const many = Array.from({ length: 20 }, (_, index) => `session=ours${index}`).join('; ');
  const found = find(`${many}; a=1`);
  assert.equal(found.values.length, 6);
  assert.equal(found.rest, 'a=1');
});

test('settings that no line can say are refused before anybody signs in, and not repeated', () => {
  const wrong = [{ domain: 'a..b' }, { path: '/a<b' }, { name: 'a b' }, { maxAge: 0.5 }];
  for (const part of wrong) {
    const [attribute = ''] = Object.keys(part);
    assert.throws(() => checkCookie({ ...settings, ...part }), {
      code: 'ERR_CONFIG',
      message: new RegExp(`^config: .* cannot be set: (option|argument) ${attribute} is invalid$`),
    });
  }
  checkCookie({ ...settings, secure: 'auto', domain: '.example.com', maxAge: 60 });
});
