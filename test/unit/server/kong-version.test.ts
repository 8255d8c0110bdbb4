import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { protocolOfKong } from '../../../lib/server/kong-version.ts';

const NOWHERE = '/nonexistent/meta.lua';

test('images of Kong tell their version in the environment', () => {
  const versions = { '3.4.2': 'msgpack', '3.7.1.2': 'msgpack', '3.8': 'protobuf' } as const;
  for (const [version, protocol] of Object.entries(versions))
    assert.equal(protocolOfKong({ KONG_VERSION: version }, NOWHERE), protocol, version);
  assert.equal(protocolOfKong({ KONG_VERSION: '3.10.0' }, NOWHERE), 'protobuf');
  assert.equal(protocolOfKong({ KONG_VERSION: '4.0.0' }, NOWHERE), 'protobuf');
});

test('what is installed counts for more than what the environment says', async (context) => {
  const folder = await mkdtemp(join(tmpdir(), 'session-guard-version-'));
  context.after(() => rm(folder, { recursive: true }));
  const meta = join(folder, 'meta.lua');
  await writeFile(
    meta,
    'local version = setmetatable({\n  major = 3,\n  minor = 7,\n  patch = 1,\n',
  );
  assert.equal(protocolOfKong({ KONG_VERSION: '3.8.1' }, meta), 'msgpack');
  await writeFile(meta, '\x1bLJ\x02 bytecode');
  assert.equal(protocolOfKong({ KONG_VERSION: '3.8.1' }, meta), 'protobuf');
});

test('where nothing tells the version nothing is guessed', () => {
  for (const env of [{}, { KONG_VERSION: '' }, { KONG_VERSION: 'latest' }])
    assert.throws(
      () => protocolOfKong(env, NOWHERE),
      /query_cmd in kong\.conf.*--protocol msgpack/,
    );
});
