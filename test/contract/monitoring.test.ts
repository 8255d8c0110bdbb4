import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { requests } from '../../lib/events.ts';
import type { Decision } from '../../lib/guard.ts';
import { openMetrics } from '../../lib/metrics.ts';
import { HOUR, newSession, openNode, signIn, until } from '../support/nodes.ts';
import { startPostgres } from '../support/postgres.ts';
import type { Postgres } from '../support/postgres.ts';
import { Scrape } from '../support/scrape.ts';

/** The dashboard and the alert rules ask for nothing that a real scrape does not have. */
const path = (name: string) => fileURLToPath(new URL(`../../monitoring/${name}`, import.meta.url));

let postgres: Postgres;
let scrape: Scrape;

before(async () => {
  postgres = await startPostgres();
  scrape = await realScrape(await postgres.newDatabase());
});
after(() => postgres.stop());

/** Of a node that has worked, and whose database has refused something. */
async function realScrape(url: string): Promise<Scrape> {
  const metrics = openMetrics();
  const node = openNode(url);
  try {
    const session = await signIn(node, newSession(), HOUR);
    await node.storage.renew(session, HOUR);
    const nonsense = node.database.query({ name: 'nonsense', text: 'select nonsense' }, []);
    await assert.rejects(nonsense);
    const decision: Decision = { kind: 'unavailable' };
    const pdk = { pipelined: true, identityByContext: true } as never;
    const config = { storage: 'kong', audience: 'default', place: {} } as const;
    await requests.tracePromise(async () => decision, {
      pdk,
      config,
      startedAt: performance.now(),
    });
    await until(() => node.backend.bus.isHealthy);
    return new Scrape(await metrics.scrape());
  } finally {
    metrics.close();
    await node.close();
  }
}

interface Panel {
  readonly title: string;
  readonly targets?: readonly { readonly expr: string }[];
}
interface Rules {
  readonly groups: readonly {
    readonly rules: readonly { readonly alert: string; readonly expr: string }[];
  }[];
}

/** Every query with the name of what asks it. */
async function queries(): Promise<[asker: string, expr: string][]> {
  const dashboard = JSON.parse(await readFile(path('grafana-dashboard.json'), 'utf8')) as {
    panels: readonly Panel[];
  };
  const rules = parse(await readFile(path('alerts.yml'), 'utf8')) as Rules;
  return [
    ...dashboard.panels.flatMap(({ title, targets = [] }) =>
      targets.map(({ expr }): [string, string] => [title, expr]),
    ),
    ...rules.groups.flatMap((group) =>
      group.rules.map(({ alert, expr }): [string, string] => [alert, expr]),
    ),
  ];
}

/** What a query selects: names of metrics with the labels that it asks for or groups by. */
function selectors(expr: string): { name: string; matchers: [label: string, value: string][] }[] {
  return [...expr.matchAll(/\b((?:session_guard|process)_\w+)(?:\{([^}]*)\})?/g)].map(
    ([, name = '', inner = '']) => ({
      name,
      matchers: [...inner.matchAll(/(\w+)=~?"([^"]*)"/g)].map(
        ([, label = '', value = '']): [string, string] => [label, value],
      ),
    }),
  );
}

test('every metric, label and value that the dashboard or a rule names is in a real scrape', async () => {
  const all = await queries();
  assert.ok(all.length > 30);
  for (const [asker, expr] of all) {
    const found = selectors(expr);
    assert.notEqual(found.length, 0, asker);
    for (const { name, matchers } of found) {
      const series = scrape.series.filter((one) => one.name === name);
      assert.ok(series.length > 0, `${asker}: ${name} is not in the scrape`);
      // Prometheus itself adds `instance` when it scrapes.
      for (const [label, value] of matchers.filter(([one]) => one !== 'instance')) {
        const pattern = new RegExp(`^(?:${value})$`);
        const isThere = series.some((one) => pattern.test(one.labels[label] ?? ''));
        assert.ok(isThere, `${asker}: no ${name} with ${label}="${value}"`);
      }
    }
  }
});

test('what a query groups by is a label of what it asks for', async () => {
  for (const [asker, expr] of await queries()) {
    const labels = new Set(['instance', 'le']);
    for (const { name } of selectors(expr)) {
      for (const series of scrape.series.filter((one) => one.name === name)) {
        for (const label of Object.keys(series.labels)) labels.add(label);
      }
    }
    for (const [, group = ''] of expr.matchAll(/(?:by|on|ignoring|group_left) \(([^)]*)\)/g)) {
      for (const label of group.split(/,\s*/).filter(Boolean)) {
        assert.ok(labels.has(label), `${asker}: nothing has a label ${label}`);
      }
    }
  }
});

test('every metric of ours is on the dashboard or in the documentation', async () => {
  const documentation = await readFile(path('../docs/watching.md'), 'utf8');
  for (const name of scrape.types.keys()) {
    assert.ok(documentation.includes(`\`${name}\``), `${name} is not in docs/watching.md`);
  }
});

const promtool = (...args: string[]) =>
  promisify(execFile)('promtool', args).then(
    ({ stdout }) => stdout,
    (error: NodeJS.ErrnoException & { stdout?: string; stderr?: string }) => {
      if (error.code === 'ENOENT' && process.env['CI'] !== 'true') return undefined;
      throw new Error(`promtool ${args.join(' ')}: ${error.stdout ?? ''}${error.stderr ?? ''}`, {
        cause: error,
      });
    },
  );

test('promtool accepts the rules, and they fire when they should and only then', async (t) => {
  const checked = await promtool('check', 'rules', path('alerts.yml'));
  if (checked === undefined) return t.skip('no promtool: apt-get install prometheus');
  assert.match(checked, /SUCCESS: 8 rules found/);
  assert.match((await promtool('test', 'rules', path('alerts.test.yml'))) ?? '', /SUCCESS/);
});
