import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLog } from '../../../lib/log.ts';
import { Instances } from '../../../lib/server/instances.ts';
import { createTestPlugin } from '../../contract/server-plugin.ts';

const SILENT = createLog('silent');
const config = (value: unknown) => Buffer.from(JSON.stringify(value));
const PASS = config({ behaviour: 'pass' });

test('ids of two processes never meet, though both count from one', () => {
  const ids = [1, 2].flatMap(() => {
    const instances = new Instances(createTestPlugin().plugin, SILENT);
    return Array.from({ length: 100 }, () => instances.start(PASS, 'string'));
  });
  assert.equal(new Set(ids).size, 200);
});

test('an int32 id is positive and fits', () => {
  const instances = new Instances(createTestPlugin().plugin, SILENT);
  for (let i = 0; i < 100; i++) {
    const id = instances.start(PASS, 'int32');
    assert.ok(Number.isInteger(id) && Number(id) > 0 && Number(id) <= 0x7fffffff);
    assert.ok(instances.get(id));
  }
});

test('int32 ids are counted from a random number, so that those of two processes hardly ever meet', () => {
  const firsts = [1, 2].map(() => {
    const instances = new Instances(createTestPlugin().plugin, SILENT);
    const ids = Array.from({ length: 100 }, () => Number(instances.start(PASS, 'int32')));
    const steps = ids.slice(1).map((id, index) => id - ids[index]!);
    // Once in 2^31 / 100 runs the largest number is followed by 1.
    assert.ok(steps.filter((step) => step === 1).length >= 98);
    return ids[0];
  });
  assert.notEqual(firsts[0], firsts[1]);
});

test('the log tells which plugin on which route has a configuration that is refused', () => {
  const lines: string[] = [];
  const log = createLog('info', { write: (line) => void lines.push(line) });
  const instances = new Instances(createTestPlugin().plugin, log);
  const place = { route_id: 'cart', plugin_instance_name: 'guard', __plugin_id: '1f0c' };
  assert.throws(() => instances.start(config({ behaviour: 'refuse', ...place }), 'int32'));
  assert.throws(() => instances.start(Buffer.from('{'), 'string'));
  const [named, broken] = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  assert.deepEqual([named?.['route'], named?.['instance']], ['cart', 'guard']);
  assert.equal(named?.['event'], 'instance-refused');
  assert.deepEqual([broken?.['event'], broken?.['route']], ['instance-refused', undefined]);
});

test('configurations are UTF-8, as Kong sends them', () => {
  const { plugin } = createTestPlugin();
  const seen: unknown[] = [];
  const instances = new Instances(
    {
      ...plugin,
      create: (received) => {
        seen.push(received);
        return plugin.create(received);
      },
    },
    SILENT,
  );
  instances.start(config({ behaviour: 'pass', label: 'é€' }), 'string');
  assert.deepEqual(seen, [{ behaviour: 'pass', label: 'é€' }]);
});

test('what is no configuration is refused without quoting it', () => {
  const instances = new Instances(createTestPlugin().plugin, SILENT);
  const broken = ['', '{"secret":"hush"', '"hush"', '["hush"]', 'null'].map((text) =>
    Buffer.from(text),
  );
  for (const bytes of [...broken, Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d])]) {
    assert.throws(
      () => instances.start(bytes, 'string'),
      (err) =>
        err instanceof Error &&
        /the configuration is not/.test(err.message) &&
        !/hush/.test(err.message),
    );
  }
  assert.equal(instances.size, 0);
});

test('a key named __proto__ in a configuration changes no other object', () => {
  const instances = new Instances(createTestPlugin().plugin, SILENT);
  const text = '{"behaviour":"pass","__proto__":{"polluted":true}}';
  assert.ok(instances.start(Buffer.from(text), 'string'));
  assert.equal(({} as Record<string, unknown>)['polluted'], undefined);
});

test('ids of other types are unknown', () => {
  const instances = new Instances(createTestPlugin().plugin, SILENT);
  instances.start(PASS, 'string');
  for (const id of [undefined, null, {}, [], true, 'x', 1]) {
    assert.equal(instances.get(id), undefined);
    instances.close(id);
  }
  assert.equal(instances.size, 1);
});

test('instances are bounded in number', () => {
  const instances = new Instances(createTestPlugin().plugin, SILENT);
  const first = instances.start(PASS, 'string');
  for (let i = 0; i < 50_000; i++) instances.start(PASS, 'string');
  assert.equal(instances.size, 50_000);
  assert.equal(instances.get(first), undefined);
});
