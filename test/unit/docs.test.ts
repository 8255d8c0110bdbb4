import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

test("the README's table is that of the fields", () => {
  const script = fileURLToPath(new URL('../../scripts/docs.ts', import.meta.url));
  const { status, stderr } = spawnSync(process.execPath, ['--import', 'tsx', script, '--check']);
  assert.equal(status, 0, stderr.toString());
});
