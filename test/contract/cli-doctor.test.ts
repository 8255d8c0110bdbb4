import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import type { Diagnosis } from '../../lib/cli/doctor/diagnosis.ts';
import { COLUMNS, INDEXES } from '../../lib/cli/doctor/shape.ts';
import { run } from '../unit/cli/run.ts';
import { cli } from './cli-process.ts';
import { Scene, signIn } from './cli-scene.ts';

/* What `session-guard doctor` says about the database and the secret. */

const scene = new Scene();

async function diagnose(url = scene.url): Promise<{ code: number; diagnoses: Diagnosis[] }> {
  const { code, stdout, stderr } = await run(['doctor', '--json'], { env: { DATABASE_URL: url } });
  assert.equal(stderr, '');
  return { code, diagnoses: (JSON.parse(stdout) as { diagnoses: Diagnosis[] }).diagnoses };
}

const bad = (diagnoses: readonly Diagnosis[]): string[] =>
  diagnoses.filter(({ level }) => level !== 'ok').map(({ level, code }) => `${level} ${code}`);

test('a database that is well', async (context) => {
  await signIn(await scene.node(context));
  const { code, stdout, stderr } = await cli(['doctor'], { env: scene.env });
  assert.equal(code, 0, stderr);
  const lines = stdout.trimEnd().split('\n');
  assert.match(lines[0] ?? '', /^ok +database: PostgreSQL \d+\S* .*answers$/);
  assert.ok(lines.some((line) => /LISTEN hears of a NOTIFY after \d+ ms$/.test(line)));
  assert.ok(lines.some((line) => line.endsWith('1 living sign-ins, nothing overdue')));
  assert.equal(lines.at(-1), '0 errors, 0 warnings');
});

const sql = (statement: string) => () => scene.rows(statement);

const MISTAKES: readonly (readonly [string, () => Promise<unknown>, string[]])[] = [
  ['no tables', sql('drop schema session_guard cascade'), ['error tables_missing']],
  [
    'a column that is gone',
    sql('alter table session_guard.sessions drop column credential_id'),
    ['error drift'],
  ],
  ['an index that is gone', sql('drop index session_guard.sessions_family'), ['error drift']],
  [
    'a table that is gone',
    sql('drop table session_guard.cutoffs'),
    Array<string>(6).fill('error drift'),
  ],
  [
    'a table that a crash empties',
    sql('alter table session_guard.sessions set unlogged'),
    ['warning unlogged'],
  ],
  [
    'nobody prunes',
    async () => {
      await scene.rows(`insert into session_guard.sessions
        select sha256(n::text::bytea), gen_random_uuid(), gen_random_uuid(), 0, 0, 'c', null, 'a', 'r', null, '',
          now(), now(), now(), now(), null, null, now() - interval '1 hour' from generate_series(1, 3) n`);
    },
    ['warning prune_lag'],
  ],
];

describe('each mistake by its name', () => {
  for (const [title, plant, expected] of MISTAKES) {
    test(title, async () => {
      await scene.run(['migrate']);
      await plant();
      const { code, diagnoses } = await diagnose();
      assert.deepEqual(bad(diagnoses), expected);
      assert.equal(code, expected.some((line) => line.startsWith('error')) ? 3 : 0);
    });
  }

  test('a role that may not write', async () => {
    await scene.run(['migrate']);
    const role = `reader_${randomBytes(4).toString('hex')}`;
    await scene.rows(`create role ${role} login password '${role}'`);
    try {
      await scene.rows(`grant usage on schema session_guard to ${role}`);
      await scene.rows(`grant select on all tables in schema session_guard to ${role}`);
      const url = new URL(scene.url);
      [url.username, url.password] = [role, role];
      assert.deepEqual(bad((await diagnose(url.href)).diagnoses), ['error rights']);
    } finally {
      await scene.rows(`drop owned by ${role}; drop role ${role}`);
    }
  });

  test('a clock that is off', async (context) => {
    await scene.run(['migrate']);
    const now = Date.now();
    context.mock.timers.enable({ apis: ['Date'], now: now + 20_000 });
    assert.deepEqual(bad((await diagnose()).diagnoses), ['warning clock_skew']);
    context.mock.timers.setTime(now + 300_000);
    assert.deepEqual(bad((await diagnose()).diagnoses), ['error clock_skew']);
  });

  test('a pooler through which no notice comes', async (context) => {
    await scene.run(['migrate']);
    const { diagnoses } = await diagnose(await withoutNotices(context));
    assert.deepEqual(bad(diagnoses), ['error listen']);
  });

  test('a server that does not answer', async () => {
    const { code, diagnoses } = await diagnose('postgres://u:hunter2@127.0.0.1:1/x');
    assert.equal(code, 3);
    assert.deepEqual(bad(diagnoses), ['error database_unreachable']);
    assert.doesNotMatch(JSON.stringify(diagnoses), /hunter2/);
  });
});

/** The URL of a way to the server on which notices get lost: messages of type A (NotificationResponse). */
async function withoutNotices(context: TestContext): Promise<string> {
  const url = new URL(scene.url);
  const target = { host: url.hostname, port: Number(url.port || 5432) };
  const server = createServer((client) => {
    const upstream = connect(target);
    client.pipe(upstream);
    let pending = Buffer.alloc(0);
    upstream.on('data', (data) => {
      pending = Buffer.concat([pending, data]);
      while (pending.length >= 5 && pending.length > pending.readInt32BE(1)) {
        const end = pending.readInt32BE(1) + 1;
        if (pending[0] !== 'A'.charCodeAt(0)) client.write(pending.subarray(0, end));
        pending = pending.subarray(end);
      }
    });
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      socket.on('error', () => other.destroy());
      socket.on('close', () => other.destroy());
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => server.close());
  url.port = String((server.address() as AddressInfo).port);
  return url.href;
}

test('the expected shape is the one that the migrations leave', async () => {
  await scene.run(['migrate']);
  const columns = await scene.rows<{ name: string; columns: string[] }>(
    `select table_name as name, array_agg(column_name::text order by column_name) as columns
    from information_schema.columns where table_schema = 'session_guard' and table_name <> 'migrations'
    group by table_name`,
  );
  const expected = Object.entries(COLUMNS).map(([name, list]) => [name, list.toSorted()]);
  assert.deepEqual(
    Object.fromEntries(columns.map(({ name, columns: list }) => [name, list])),
    Object.fromEntries(expected),
  );
  const indexes = await scene.rows<{ name: string }>(
    `select tablename || substring(replace(indexdef, ', ', ',') from '\\(.*\\)$') as name
    from pg_indexes where schemaname = 'session_guard' and tablename <> 'migrations'`,
  );
  assert.deepEqual(indexes.map(({ name }) => name).toSorted(), INDEXES);
});

test('a secret that would be refused', async () => {
  const weak = await run(['doctor'], { env: { SESSION_GUARD_SECRET: 'super-secret' } });
  assert.equal(weak.code, 3);
  assert.match(weak.stdout, /^error +secret: is a published example/);
  assert.doesNotMatch(weak.stdout, /super-secret/);
  const secret = randomBytes(32).toString('base64');
  const good = await run(['doctor'], { env: { SESSION_GUARD_SECRET: secret } });
  assert.equal(good.code, 0);
});

test('nothing to examine is wrong use', async () => {
  const { code, stderr } = await run(['doctor']);
  assert.equal(code, 2);
  assert.match(stderr, /needs something to examine/);
});
