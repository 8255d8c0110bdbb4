import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { toLua } from '../../../lib/cli/lua.ts';
import { schemaLua } from '../../../lib/cli/schema.ts';
import { pluginInfo } from '../../../lib/schema.ts';
import { run } from './run.ts';

const lua = ['luajit', 'lua5.1', 'lua5.4', 'lua'].find(
  (name) => spawnSync(name, ['-v']).error === undefined,
);
const skip = lua === undefined && 'no Lua on this machine';
if (skip !== false && process.env['CI'] === 'true')
  throw new Error(`${skip}: apt-get install luajit`);
if (skip !== false) console.log(`SKIPPED: ${skip}`);

/** Prints a Lua value as JSON: a table with a first element is a list, `ngx.null` is null. */
const PRINTER = `
ngx = { null = setmetatable({}, { __name = 'null' }) }
local function show(value)
  if value == ngx.null then return 'null' end
  if type(value) == 'number' then return string.format('%.17g', value) end
  if type(value) == 'boolean' then return tostring(value) end
  if type(value) == 'string' then
    return '"' .. value:gsub('[%c"\\\\\\128-\\255]', function(c) return string.format('\\\\u%04x', c:byte()) end) .. '"'
  end
  local parts = {}
  if #value > 0 or next(value) == nil then
    for _, item in ipairs(value) do parts[#parts + 1] = show(item) end
    return '[' .. table.concat(parts, ',') .. ']'
  end
  for name, item in pairs(value) do parts[#parts + 1] = show(name) .. ':' .. show(item) end
  return '{' .. table.concat(parts, ',') .. '}'
end
local load = loadstring or load
local before = {}
for name in pairs(_G) do before[name] = true end
require = function(name) error('requires ' .. name) end
local value = assert(load(io.read('*a')))()
for name in pairs(_G) do assert(before[name], 'sets a global: ' .. name) end
io.write(show(value))
`;

/** What a chunk of Lua returns. Octets of strings come back as latin1. */
function evaluate(chunk: string): unknown {
  const { status, stdout, stderr } = spawnSync(lua ?? '', ['-e', PRINTER], { input: chunk });
  assert.equal(status, 0, stderr.toString());
  return JSON.parse(stdout.toString()) as unknown;
}

/** The same value as `evaluate` returns it. */
const inOctets = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value), (_, member: unknown) =>
    typeof member === 'string' ? Buffer.from(member).toString('latin1') : member,
  );

test('schema.lua is the schema, and requires nothing', { skip }, () => {
  assert.deepEqual(evaluate(schemaLua()), inOctets(pluginInfo().Schema));
});

test('any JSON becomes the same in Lua', { skip }, () => {
  const values = [
    'quotes " and \\ and \n\r\t\0',
    'ö😀'.normalize(),
    { end: 1, 'a b': [1, [2, []]], _x: { y: null } },
    [0.05, -1, 3_153_600_000, 1e21],
    { long: 'x'.repeat(200), list: ['y'.repeat(60), 'z'.repeat(60)] },
    [true, false],
  ];
  for (const value of values) {
    assert.deepEqual(evaluate(`return ${toLua(value)}`), inOctets(value));
  }
});

test('without --lua it is what the server tells Kong', async () => {
  const { code, stdout } = await run(['schema']);
  assert.equal(code, 0);
  assert.deepEqual(JSON.parse(stdout), JSON.parse(JSON.stringify(pluginInfo())));
  assert.match((await run(['schema', '--lua'])).stdout, /^-- session-guard .*\nreturn \{\n/s);
});
