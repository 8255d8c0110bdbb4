import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { run } from './run.ts';

const portalConf = (stdin: string, ...argv: string[]) => run(['portal-conf', ...argv], { stdin });

test('one format alone can be piped on, the report goes to stderr', async () => {
  const input = '{"cookie_lifetime":7200,"secret":"super-secret"}';
  const { code, stdout, stderr } = await portalConf(input, '--output', 'yaml');
  assert.equal(code, 0);
  const { plugins } = parse(stdout) as { plugins: { config: object }[] };
  assert.deepEqual(plugins[0]?.config, {
    secret: '{vault://env/session-secret}',
    rolling_timeout: 7200,
  });
  assert.match(stderr, /^cookie_lifetime +rolling_timeout: 7200 +renamed$/m);
  assert.match(stdout, /^# In the environment of Kong: SESSION_SECRET\n/);
  const kong = await portalConf('{"storage":"kong"}', '--output', 'admin-api');
  assert.match(kong.stdout, /^# .*: SESSION_SECRET and SESSION_DATABASE_URL\ncurl /);
});

test('everything at once is for reading', async () => {
  const { stdout, stderr } = await portalConf('{"storage":"kong","bogus":1}');
  assert.equal(stderr, '');
  const titles = ['Admin API', 'Declarative configuration', 'Kubernetes'];
  for (const title of titles) assert.ok(stdout.includes(`\n${title}`), title);
  assert.match(stdout, /^bogus +- +dropped: no field of the session plugin$/m);
  assert.match(stdout, /^2 warnings\n  secret is not set.*\n  bogus is dropped/m);
  assert.match(stdout, /^1 note\n  storage kong needs the record postgres/m);
});

test('a secret never comes out, wherever it stands', async () => {
  const secret = 'Xk3v9Qp7Lr2Tz8Ws5Yb1Nc6Md4Fg0HjKEaRiUo';
  const inputs = [
    `{"secret":"${secret}"}`,
    `{"secret" "${secret}"}`,
    `{"secret":"${secret}`,
    `{"secret":["${secret}"]}`,
    `{"secret":{"x":"${secret}"},"cookie_name":"${secret} "}`,
    `{"storage":"${secret}","cookie_domain":"https://${secret}/"}`,
    `{"secret":"short","cookie_same_site":"${secret}","logout_methods":["${secret}"]}`,
    `secret: ${secret}\n`,
    `secret: "${secret}\n`,
    `secret: *${secret}\n`,
    `secret: !!${secret} x\nstorage: kong\n`,
    `_format_version: "3.0"\nplugins: [{name: session, config: {secret: ${secret}}}]`,
    `secret\n${secret}`,
    secret,
    `{"name":"session","config":"${secret}"}`,
    `{"name":"session","config":{"postgres":{"url":"postgres://u:${secret}@h/d"}}}`,
  ];
  for (const input of inputs) {
    for (const argv of [[], ['--json'], ['--output', 'yaml']]) {
      const { stdout, stderr } = await portalConf(input, ...argv);
      assert.ok(!(stdout + stderr).includes(secret), input);
    }
  }
});

test('control characters of the input come out visible', async () => {
  const input = JSON.stringify({
    name: 'session',
    tags: ['a\u009b31m', 'b'],
    route: { name: 'x\u001b[31m', id: 'r1' },
    config: { 'f\u001b[2J': 1, logout_query_arg: 'q\u0007', cookie_name: 'ok' },
  });
  for (const argv of [[], ['--json'], ['--output', 'kongplugin']]) {
    const { code, stdout, stderr } = await portalConf(input, ...argv);
    assert.equal(code, 0);
    // oxlint-disable-next-line no-control-regex
    assert.doesNotMatch(stdout + stderr, /[\x00-\x09\x0b-\x1f\x7f-\x9f]/);
  }
});

test('nothing to translate, and nothing that can be', async () => {
  const none = await portalConf('_format_version: "3.0"\nplugins: [{name: cors}]');
  assert.equal(none.code, 3);
  assert.equal(none.stderr, 'session-guard: portal-conf: the input configures no session plugin\n');
  const consumer = await portalConf('{"name":"session","consumer":{"id":"c"},"config":{}}');
  assert.equal(consumer.code, 1);
  assert.match(consumer.stdout, /consumer cannot have a session plugin/);
  assert.doesNotMatch(consumer.stdout, /curl/);
  const broken = await portalConf('{"a"');
  assert.equal(broken.code, 1);
  assert.match(broken.stderr, /not understood: line 1, column 5: expected : after a field name/);
});

test('a file, or what is no file', async (context) => {
  const folder = await mkdtemp(join(tmpdir(), 'session-guard-cli-'));
  context.after(() => rm(folder, { recursive: true }));
  const file = join(folder, 'kong.conf');
  await writeFile(file, `portal = on\nportal_session_conf = { "storage":"kong" }\n`);
  assert.equal((await run(['portal-conf', file])).code, 0);
  assert.equal((await run(['portal-conf', '-'], { stdin: '{}' })).code, 0);
  const { code, stderr } = await run(['portal-conf', join(folder, 'no\u001bsuch')]);
  assert.equal(code, 1);
  assert.equal(stderr, 'session-guard: portal-conf: the file cannot be read: ENOENT\n');
});
