import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../e2e/support/waiting.ts';
import { query } from '../support/chaos/sql.ts';
import { PROTOCOLS, Stage } from '../support/chaos/stage.ts';
import { type Postgres, startPostgres } from '../support/postgres.ts';

/** Seconds: a renewal is due after three, and its predecessor is a replay one after the successor was first presented. */
const TIMEOUTS = { rolling_timeout: 6, cookie_renew: 3, stale_ttl: 1, cache_ttl: 1 };
const LONGER_THAN_STALE = 1600;

let postgres: Postgres;
before(async () => {
  postgres = await startPostgres();
});
after(() => postgres.stop());

for (const protocol of PROTOCOLS) {
  test(`a request that Kong held up beyond the grace of its cookie ends no session, over ${protocol}`, async () => {
    const url = await postgres.newDatabase();
    const config = { storage: 'kong', postgres: { url }, ...TIMEOUTS };
    const stage = await Stage.open({ protocol, config });
    try {
      const browser = await stage.signIn(await stage.person());
      const old = browser.cookies();
      await sleep(3100);
      const renewal = await browser.ask({ scheme: 'http' });
      assert.equal(renewal.status, 200, renewal.body);
      assert.notEqual(browser.cookies(), old, 'renewed');
      assert.equal((await browser.ask({ scheme: 'http' })).status, 200, 'the successor is in use');
      // Not while it is being written: whoever looks at that moment may still read the row of before.
      const confirmed = 'select from session_guard.sessions where confirmed_at is not null';
      await until('it is stored', async () => (await query(url, confirmed)).length > 0);
      const pid = stage.gateway.serverPid() ?? assert.fail('no plugin server');
      process.kill(pid, 'SIGSTOP');
      const held = stage.ask({ scheme: 'http', cookie: old });
      await sleep(LONGER_THAN_STALE);
      process.kill(pid, 'SIGCONT');
      const refused = await held;
      assert.equal(refused.status, 403);
      assert.deepEqual(refused.setCookies, [], 'the browser may hold the successor');
      assert.equal((await browser.ask({ scheme: 'http' })).status, 200, 'the session lives');
      assert.equal((await stage.ask({ scheme: 'http', cookie: old })).status, 403);
      assert.equal((await browser.ask({ scheme: 'http' })).status, 403, 'that was a replay');
    } finally {
      await stage.close();
    }
  });
}
