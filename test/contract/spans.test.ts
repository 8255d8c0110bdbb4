import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { requests } from '../../lib/events.ts';
import { openSpans } from '../../lib/spans.ts';
import { query } from '../support/chaos/sql.ts';
import { PROTOCOLS, type Protocol, Stage, type StageOptions } from '../support/chaos/stage.ts';
import { startPostgres } from '../support/postgres.ts';
import type { Postgres } from '../support/postgres.ts';
import { isRequest, Provider } from '../support/provider.ts';
import type { Span } from '../support/provider.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const PARENT = '00f067aa0ba902b7';
const TRACEPARENT = `00-${TRACE}-${PARENT}-01`;

let postgres: Postgres;
before(async () => {
  postgres = await startPostgres();
});
after(() => postgres.stop());

async function spansOf(
  t: TestContext,
  options: Pick<StageOptions, 'protocol' | 'gateway'>,
  work: (stage: Stage, url: string) => Promise<void>,
): Promise<Span[]> {
  const provider = await Provider.open();
  t.after(() => provider.close());
  const url = await postgres.newDatabase();
  const stage = await Stage.open({
    ...options,
    config: { storage: 'kong', cache_ttl: 0, postgres: { url } },
    nodeArgs: ['--require', provider.module],
  });
  try {
    await work(stage, url);
  } finally {
    await stage.close();
  }
  return provider.spans();
}

for (const protocol of PROTOCOLS) {
  test(`${protocol}: a request is a span in the caller's trace, with its statements below`, async (t) => {
    const spans = await spansOf(t, { protocol }, async (stage) => {
      const browser = await stage.signIn(await stage.person());
      const headers = { traceparent: TRACEPARENT };
      assert.equal((await browser.ask({ scheme: 'http', headers })).status, 200);
      await stage.ask({ headers: { traceparent: 'ff-not-a-trace' } });
    });
    const [request, ...rest] = spans.filter((span) => isRequest(span) && span.trace === TRACE);
    assert.ok(request);
    assert.deepEqual(rest, []);
    const { attributes } = request;
    assert.equal(request.parent, PARENT);
    assert.deepEqual([request.kind, request.status], [0, 0]);
    assert.equal(typeof attributes['session_guard.route'], 'string');
    assert.equal(attributes['session_guard.result'], 'pass');
    assert.equal(attributes['session_guard.storage'], 'kong');
    assert.equal(attributes['session_guard.audience'], 'default');
    const below = spans.filter(({ parent }) => parent === request.id);
    assert.deepEqual(
      below.map(({ name, kind, trace }) => ({ name, kind, trace })),
      [{ name: 'load', kind: 2, trace: TRACE }],
    );
    assert.deepEqual(below[0]?.attributes, {
      'db.system.name': 'postgresql',
      'db.operation.name': 'load',
    });
    assert.ok(below[0].start >= request.start && below[0].end <= request.end);
    const results = spans.filter(isRequest).map((span) => span.attributes['session_guard.result']);
    assert.ok(results.includes('deny_missing'));
    const text = JSON.stringify(spans);
    assert.doesNotMatch(text, /[a-z0-9_-]{30,}\.[a-z0-9_-]{10,}|postgres:\/\//i); // no token, no URL
  });
}

test('where the headers are not read the header is asked for, once', async (t) => {
  const http = await readFile(join(ROOT, 'nginx/session-guard-http.conf'), 'utf8');
  const options = { protocol: 'protobuf' as Protocol, gateway: { nginxInclude: { http } } };
  const asked: string[][] = [];
  const spans = await spansOf(t, options, async (stage) => {
    const browser = await stage.signIn(await stage.person());
    for (let visit = 0; visit < 2; visit++) {
      await browser.ask({ scheme: 'http', headers: { traceparent: TRACEPARENT } });
      asked.push(stage.gateway.conversations.last()?.calls ?? []);
    }
  });
  for (const calls of asked) {
    assert.ok(!calls.includes('kong.request.get_headers'));
    assert.equal(calls.filter((call) => call === 'kong.request.get_header').length, 1);
  }
  assert.equal(spans.filter((span) => isRequest(span) && span.parent === PARENT).length, 2);
});

test('a statement that fails says why, and so does its request', async (t) => {
  const spans = await spansOf(t, { protocol: 'protobuf' }, async (stage, url) => {
    const browser = await stage.signIn(await stage.person());
    await query(url, 'drop table session_guard.sessions');
    assert.equal((await browser.ask({ scheme: 'http' })).status, 503);
  });
  const failed = spans.filter(({ status }) => status === 2);
  const request = failed.find(isRequest);
  assert.ok(request);
  assert.equal(request.attributes['session_guard.result'], 'unavailable');
  const statement = failed.find(({ parent }) => parent === request.id);
  assert.equal(statement?.attributes['error.type'], '42P01'); // undefined_table
});

test('nobody who registers, no subscriber: no request is traced', () => {
  assert.equal(openSpans(), undefined);
  assert.equal(requests.hasSubscribers, false);
});
