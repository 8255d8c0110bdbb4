import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { forget, openChannels, read, recall, writeCookies } from '../../lib/channel.ts';
import { parseConfig } from '../../lib/config.ts';
import { NO_COOKIES } from '../../lib/cookie.ts';
import { longestLife } from '../../lib/storage.ts';
import { damage, requestOf, SECRET } from '../support/visitor.ts';

const NOW = 1_800_000_000_000;
const OTHER = 'Zt5Rw8Yb2Nq6Mv4Xc1Ld9Kf7Hj3Gs0PaEoUiTy';
const RECALLED = 2048;

const open = (fields: object = {}) => openChannels(parseConfig({ secret: SECRET, ...fields }));
const channel = open().session;

/** A Cookie header with a token of ours, of any length that is asked for. */
async function header(length = 0): Promise<string> {
  const id = randomBytes(32).toString('base64url');
  const value = await channel.codec.seal([{ audience: 'default', id, generation: 0 }], NOW);
  return `session=${value}; a=`.padEnd(length, 'x');
}

test('a header whose cookies are all genuine is known from then on, until it is forgotten', async () => {
  const genuine = await header();
  assert.equal(recall(channel, genuine), undefined);
  const carried = await read(channel, genuine, NOW);
  assert.equal(carried.tokens.length, 1);
  assert.equal(recall(channel, genuine), carried);
  assert.equal(recall(open().session, genuine), carried, 'for another instance as well');
  assert.equal(recall(open({ secret: OTHER }).session, genuine), undefined);
  forget(channel, genuine);
  assert.equal(recall(channel, genuine), undefined);
});

test('what clients could make up is not kept, nor a long header', async () => {
  const genuine = await header();
  const value = /session=([^;]+)/.exec(genuine)?.[1] ?? '';
  const damaged = `session=${damage(value)}`;
  for (const kept of [
    'session=of-somebody-else',
    damaged,
    `${genuine}; ${damaged}`,
    `${damaged}; ${genuine}`,
  ]) {
    await read(channel, kept, NOW);
    assert.equal(recall(channel, kept), undefined);
  }
  const [longest, longer] = [await header(RECALLED), await header(RECALLED + 1)];
  for (const each of [longest, longer])
    assert.equal((await read(channel, each, NOW)).tokens.length, 1);
  assert.notEqual(recall(channel, longest), undefined);
  assert.equal(recall(channel, longer), undefined);
});

test('a header without the name holds nothing, and nobody has to look', () => {
  assert.deepEqual(recall(channel, 'a=1'), { own: NO_COOKIES, tokens: [] });
});

test('where nothing is to be written or deleted Kong is asked nothing', async () => {
  const { session } = open({ cookie_secure_auto: true });
  const asked = () => Promise.reject(new Error('asked'));
  const request = { ...requestOf('', {}), traits: asked };
  assert.deepEqual(await writeCookies(session, request, NO_COOKIES, [], NOW), []);
  const { own } = await read(session, await header(), NOW);
  await assert.rejects(writeCookies(session, request, own, [], NOW), /asked/);
});

test('a token lives as long as the shorter of its limits, 0 being none', () => {
  assert.equal(longestLife({ rolling: 5, absolute: 9 }), 5);
  assert.equal(longestLife({ rolling: 9, absolute: 5 }), 5);
  assert.equal(longestLife({ rolling: 0, absolute: 5 }), 5);
  assert.equal(longestLife({ rolling: 5, absolute: 0 }), 5);
  assert.equal(longestLife({ rolling: 0, absolute: 0 }), 0);
});
