import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Instances } from '../../../lib/server/instances.ts';
import { createTestPlugin } from '../../contract/server-plugin.ts';

const config = (value: unknown) => Buffer.from(JSON.stringify(value));
const PASS = config({ behaviour: 'pass' });

test('ids of two processes never meet, though both count from one', () => {
  const ids = [1, 2].flatMap(() => {
    const instances = new Instances(createTestPlugin().plugin);
    return Array.from({ length: 100 }, () => instances.start(PASS, 'string'));
  });
  assert.equal(new Set(ids).size, 200);
});

test('an int32 id is positive and fits', () => {
  const instances = new Instances(createTestPlugin().plugin);
  for (let i = 0; i < 100; i++) {
    const id = instances.start(PASS, 'int32');
    assert.ok(Number.isInteger(id) && Number(id) > 0 && Number(id) <= 0x7fffffff);
    assert.ok(instances.get(id));
  }
});

test('configurations are UTF-8, as Kong sends them', () => {
  const { plugin } = createTestPlugin();
  const seen: unknown[] = [];
  const instances = new Instances({
    ...plugin,
    create: (received) => {
      seen.push(received);
      return plugin.create(received);
    },
  });
  instances.start(config({ behaviour: 'pass', label: 'é€' }), 'string');
  assert.deepEqual(seen, [{ behaviour: 'pass', label: 'é€' }]);
});

test('what is no configuration is refused without quoting it', () => {
  const instances = new Instances(createTestPlugin().plugin);
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
  const instances = new Instances(createTestPlugin().plugin);
  const text = '{"behaviour":"pass","__proto__":{"polluted":true}}';
  assert.ok(instances.start(Buffer.from(text), 'string'));
  assert.equal(({} as Record<string, unknown>)['polluted'], undefined);
});

test('ids of other types are unknown', () => {
  const instances = new Instances(createTestPlugin().plugin);
  instances.start(PASS, 'string');
  for (const id of [undefined, null, {}, [], true, 'x', 1]) {
    assert.equal(instances.get(id), undefined);
    instances.close(id);
  }
  assert.equal(instances.size, 1);
});

test('instances are bounded in number', () => {
  const instances = new Instances(createTestPlugin().plugin);
  const first = instances.start(PASS, 'string');
  for (let i = 0; i < 50_000; i++) instances.start(PASS, 'string');
  assert.equal(instances.size, 50_000);
  assert.equal(instances.get(first), undefined);
});
