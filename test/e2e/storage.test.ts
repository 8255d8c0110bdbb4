import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { assertDenied, assertOk } from './support/assertions.ts';
import { Scene } from './support/scene.ts';

const STORAGES = ['kong', 'cookie'] as const;

describe('sessions at rest', () => {
  let scene: Scene;
  before(async () => {
    scene = await Scene.open();
  });
  after(() => scene.close());

  test('S-147: who reads the tables learns no name and can make no cookie', async () => {
    const username = scene.name('dorothea');
    const person = await scene.person('', { username, custom_id: scene.name('c-dorothea') });
    const site = await scene.setUp({ storage: 'kong' });
    const { browser, cookie } = await site.signIn(person);
    const [row, ...others] = await scene.rows<Record<string, unknown>>(
      'select * from :SCHEMA.sessions where consumer_id = $1',
      [person.id],
    );
    assert.ok(row && others.length === 0, 'the session is one row');

    const dump = Object.values(row).flatMap(spellings);
    const [key] = person.keys;
    const parts = browser
      .cookie()
      .split('.')
      .filter((part) => part.length > 16);
    for (const secret of [username, person.customId ?? '', key.key, ...parts]) {
      assert.equal(
        dump.some((text) => text.includes(secret)),
        false,
        `${secret} is in ${dump.join('\n')}`,
      );
    }
    const [header, , iv, text, tag] = browser.cookie().split('.');
    for (const guess of dump) {
      for (const value of [guess, `${header}..${iv}.${encode(guess)}.${tag}`, `${guess}.${text}`]) {
        const reply = await site.browser().ask({ cookie: `session=${encodeURI(value)}` });
        assertDenied(reply, value);
      }
    }
    assertOk(await site.browser().ask({ cookie }), person);
  });

  test('S-149: sessions outlive a restart of Kong and of the plugin', async (context) => {
    const { restart } = scene.kong;
    if (restart === undefined) return context.skip('KONG_RESTART_COMMAND is not set');
    const signedIn = [];
    for (const storage of STORAGES) {
      const site = await scene.setUp({ storage, postgres: scene.postgres });
      const { browser } = await site.signIn(scene.alice);
      const leaving = (await site.signIn(scene.bob)).browser;
      const thief = leaving.copy();
      const logout = { method: 'DELETE', path: '/?session_logout=true' };
      assert.equal((await leaving.ask(logout)).status, 200);
      signedIn.push({ site, browser, thief });
    }
    await restart();
    for (const { site, browser, thief } of signedIn) {
      await site.untilEffective(({ setCookies }) => site.hasItsCookie(setCookies));
      assertOk(await browser.get(), scene.alice);
      assertDenied(await thief.get(), 'ended before the restart');
    }
  });
});

const encode = (text: string): string => Buffer.from(text).toString('base64url');

/** A column's value as it stands, and as it would be written elsewhere. */
function spellings(value: unknown): string[] {
  if (value instanceof Uint8Array) {
    const bytes = Buffer.from(value);
    const encodings = ['latin1', 'hex', 'base64', 'base64url'] as const;
    return encodings.map((encoding) => bytes.toString(encoding));
  }
  if (value instanceof Date) return [value.toISOString()];
  return value === null ? [] : [typeof value === 'string' ? value : JSON.stringify(value)];
}
