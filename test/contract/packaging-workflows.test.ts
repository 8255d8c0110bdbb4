import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';

/* What GitHub would refuse, or find missing, when it is too late to see it here. */

interface Step {
  readonly uses?: string;
  readonly run?: string;
}
interface Job {
  readonly 'runs-on': string;
  readonly 'timeout-minutes': number;
  readonly needs?: string | string[];
  readonly permissions?: Record<string, string>;
  readonly strategy?: { matrix: Record<string, unknown> & { include?: Record<string, unknown>[] } };
  readonly steps: Step[];
}
interface Workflow {
  readonly on: unknown;
  readonly permissions: Record<string, string>;
  readonly jobs: Record<string, Job>;
}

const fileOf = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url));
const { scripts } = JSON.parse(readFileSync(fileOf('package.json'), 'utf8')) as {
  scripts: Record<string, string>;
};
/** A commit, and the release that it is: a tag or a branch may mean something else tomorrow. */
const ACTION = /^[\w.-]+\/[\w.-]+(\/[\w.-]+)?@[0-9a-f]{40} # v\d+\.\d+\.\d+$/;

const FOLDER = '.github/workflows';
const names = readdirSync(fileOf(FOLDER));

test('there is a workflow for changes, for releases, and for what we depend on', () => {
  for (const name of ['ci.yml', 'release.yml', 'dependency-review.yml', 'codeql.yml']) {
    assert.ok(names.includes(name), name);
  }
});

for (const name of names) {
  const text = readFileSync(fileOf(`${FOLDER}/${name}`), 'utf8');
  const workflow = parse(text) as Workflow;

  test(`${name}: jobs and steps have the shape that GitHub wants`, () => {
    assert.deepEqual(workflow.permissions, { contents: 'read' });
    assert.doesNotMatch(JSON.stringify(workflow.on), /pull_request_target/);
    for (const [id, job] of Object.entries(workflow.jobs)) {
      assert.equal(typeof job['runs-on'], 'string', id);
      assert.ok(job['timeout-minutes'] <= 60, id);
      for (const needed of [job.needs ?? []].flat()) assert.ok(workflow.jobs[needed], needed);
      for (const { uses, run } of job.steps) {
        assert.equal([uses, run].filter(Boolean).length, 1, `${id}: ${uses} ${run}`);
        // An expression inside a script is code of whoever chose its value.
        if (run !== undefined) assert.doesNotMatch(run, /\$\{\{/);
      }
    }
  });

  test(`${name}: every action is a commit`, () => {
    const actions = [...text.matchAll(/^ +- uses: (.+)$/gm)].map(([, action = '']) => action);
    const steps = Object.values(workflow.jobs).flatMap((job) => job.steps);
    assert.equal(actions.length, steps.filter(({ uses }) => uses !== undefined).length);
    for (const action of actions) assert.match(action, ACTION);
  });

  test(`${name}: where a job can sign, nothing of others runs at install time`, () => {
    for (const [id, { permissions = {}, steps }] of Object.entries(workflow.jobs)) {
      if (permissions['id-token'] === undefined) continue;
      for (const { run = '' } of steps) assert.doesNotMatch(run, /npm ci(?! --ignore-scripts)/, id);
    }
  });

  test(`${name}: expressions of the matrix have a value, and scripts and files exist`, () => {
    for (const job of Object.values(workflow.jobs)) {
      const { include = [], ...lists } = job.strategy?.matrix ?? {};
      const known = new Set([...Object.keys(lists), ...include.flatMap(Object.keys)]);
      for (const [, key = ''] of JSON.stringify(job).matchAll(/matrix\.(\w+)/g)) {
        assert.ok(known.has(key), key);
      }
    }
    for (const [, script = ''] of text.matchAll(/npm run (?:--silent )?([\w:]+)/g)) {
      assert.ok(scripts[script], script);
    }
    for (const [path] of text.matchAll(/\.(?:ci|github)\/[\w./-]+/g)) {
      assert.ok(existsSync(fileOf(path)), path);
    }
  });
}
