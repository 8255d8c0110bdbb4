import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { echoOf, type Reply } from '../support/client.ts';
import { Scene } from './support/scene.ts';

const STORAGES = ['kong', 'cookie'] as const;

/** What would be a header of its own, or another value, if it were taken as it is. */
const NAMES: Readonly<Record<string, string>> = {
  'CR and LF': 'a\r\nX-Injected: 1\r\n\r\nGET /admin HTTP/1.1',
  'LF alone': 'a\nX-Injected: 1',
  'CR alone': 'a\rX-Injected: 1',
  'the end of a line percent-encoded': 'a%0d%0aX-Injected: 1',
  'a tab': 'a\tb',
  'a comma': 'admin, root',
  'a semicolon and quotes': 'a"; session=x; b="',
  'letters beyond latin1': 'Zoë Ωmega 名前 🍪',
  'line separators of Unicode': 'a\u2028X-Injected: 1\u0085b',
  'what folds to CR and LF': 'a\u560d\u560aX-Injected: 1',
  'two thousand letters': 'x'.repeat(2000),
};

/** The lines that reached the upstream under a name, as octets. */
function linesOf(reply: Reply, name: string): string[] {
  const { rawHeaders } = echoOf(reply);
  return rawHeaders.filter((_, at) => at % 2 === 1 && rawHeaders[at - 1]?.toLowerCase() === name);
}

describe('names that consumers have', { concurrency: 4 }, () => {
  let scene: Scene;
  before(async () => {
    scene = await Scene.open();
  });
  after(() => scene.close());

  for (const storage of STORAGES) {
    for (const [what, name] of Object.entries(NAMES)) {
      test(`${storage}: ${what} in a name is no header`, async () => {
        const label = scene.name('');
        const fields = { username: `${name}${label}`, custom_id: `${label}${name}` };
        const person = await scene.person('', fields);
        const site = await scene.setUp({
          storage,
          request_headers: ['id', 'subject'],
          response_headers: ['id'],
        });
        const { browser, reply } = await site.signIn(person);
        const visit = await browser.get();
        assert.equal(visit.status, 200);
        for (const answer of [reply, visit]) {
          const names = echoOf(answer).rawHeaders.filter((_, at) => at % 2 === 0);
          assert.equal(
            names.some((own) => /^x-injected$/i.test(own)),
            false,
          );
          assert.equal(
            Object.keys(answer.headers).some((own) => /^x-injected$/i.test(own)),
            false,
          );
          for (const line of answer.setCookies) assert.match(line, /^[\w-]+=[\w.~-]*;/);
        }
        // One line, and the same one as Kong's auth plugin made of the name in the request that signed in.
        for (const header of ['x-consumer-username', 'x-consumer-custom-id']) {
          const lines = linesOf(visit, header);
          assert.equal(lines.length, 1, header);
          assert.deepEqual(lines, linesOf(reply, header), header);
        }
      });
    }
  }
});
