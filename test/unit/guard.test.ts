import assert from 'node:assert/strict';
import { test } from 'node:test';
import { recall } from '../../lib/channel.ts';
import { CookieStorage } from '../../lib/cookie-storage.ts';
import { type Decision, deliberate } from '../../lib/guard.ts';
import { recognise } from '../../lib/recognition.ts';
import { codesOf } from '../support/nodes.ts';
import {
  alice,
  bob,
  damage,
  openGuard,
  requestOf,
  SECRET,
  signInAs,
  type Visit,
  Visitor,
} from '../support/visitor.ts';

const T0 = 1_800_000_000_000;
/** Somebody whom Kong no longer knows. */
const carol = { id: '33333333-3333-4333-8333-333333333333', username: 'carol' };

/** Guards over one storage and one clock, in storage `cookie`. */
function world() {
  const clock = { now: T0 };
  const storage = new CookieStorage(undefined, () => clock.now);
  return { clock, guard: (fields: object = {}) => openGuard(fields, storage) };
}

const who = (decision: Decision): string | undefined =>
  decision.kind === 'session' ? decision.consumer.username : undefined;

const cookiesOf = (decision: Decision): readonly string[] =>
  decision.kind === 'unavailable' ? [] : decision.cookies;

test('a sign-in sets a cookie that proves the user from then on', async () => {
  const guard = world().guard();
  const visitor = new Visitor();
  const signIn = await visitor.visit(guard, signInAs(alice));
  assert.equal(signIn.kind, 'credential');
  assert.equal(cookiesOf(signIn).length, 1);
  const visit = await visitor.visit(guard);
  assert.equal(who(visit), 'alice');
  assert.deepEqual(cookiesOf(visit), []);
});

test('the same credential again begins nothing; another one does, and another user takes over', async () => {
  const guard = world().guard();
  const visitor = new Visitor();
  await visitor.visit(guard, signInAs(alice));
  assert.deepEqual(cookiesOf(await visitor.visit(guard, signInAs(alice))), []);
  assert.equal(cookiesOf(await visitor.visit(guard, signInAs(alice, 'k2'))).length, 1);
  assert.equal(cookiesOf(await visitor.visit(guard, signInAs(bob))).length, 1);
  assert.equal(who(await visitor.visit(guard)), 'bob');
});

test('a credential without a consumer gets no session', async () => {
  const visitor = new Visitor();
  const decision = await visitor.visit(world().guard(), { credential: { id: 'x' } });
  assert.deepEqual(decision, { kind: 'credential', cookies: [], rest: undefined });
});

test('a logout deletes the cookie; without a session it is none, and with a credential it begins none', async () => {
  const guard = world().guard();
  const logout = { method: 'DELETE', target: '/?session_logout=true' };
  const visitor = new Visitor();
  assert.equal((await visitor.visit(guard, logout)).kind, 'nobody');
  assert.deepEqual(cookiesOf(await visitor.visit(guard, { ...signInAs(alice), ...logout })), []);
  await visitor.visit(guard, signInAs(alice));
  const decision = await visitor.visit(guard, logout);
  assert.equal(decision.kind, 'logout');
  assert.match(cookiesOf(decision)[0] ?? '', /^session=; Max-Age=0;/);
  assert.equal(visitor.jar.size, 0);
});

test('two audiences share a cookie and end one at a time', async () => {
  const { guard } = world();
  const [a, b] = [guard({ audience: 'a' }), guard({ audience: 'b' })];
  const visitor = new Visitor();
  await visitor.visit(a, signInAs(alice));
  assert.equal((await visitor.visit(b)).kind, 'nobody');
  await visitor.visit(b, signInAs(bob));
  assert.equal(visitor.jar.size, 1);
  assert.equal(who(await visitor.visit(a)), 'alice');
  assert.equal(who(await visitor.visit(b)), 'bob');
  await visitor.visit(a, { method: 'POST', target: '/?session_logout' });
  assert.equal((await visitor.visit(a)).kind, 'nobody');
  assert.equal(who(await visitor.visit(b)), 'bob');
});

test('a dead audience leaves the living one its cookie', async () => {
  const { guard, clock } = world();
  const [a, b] = [guard({ audience: 'a', idling_timeout: 10 }), guard({ audience: 'b' })];
  const visitor = new Visitor();
  await visitor.visit(a, signInAs(alice));
  await visitor.visit(b, signInAs(alice));
  clock.now += 11_000;
  assert.deepEqual(await visitor.visit(a), {
    kind: 'nobody',
    why: 'expired',
    cookies: [],
    rest: '',
  });
  assert.equal(who(await visitor.visit(b)), 'alice');
});

test('the persistent cookie opens a new session when the first has ended', async () => {
  const { guard, clock } = world();
  const remembering = guard({ remember: true });
  const visitor = new Visitor();
  const signIn = await visitor.visit(remembering, signInAs(alice));
  assert.match(cookiesOf(signIn)[1] ?? '', /^remember=[^;]+; Max-Age=604800; /);
  assert.doesNotMatch(cookiesOf(signIn)[0] ?? '', /Max-Age|Expires/);
  visitor.jar.delete('session');
  clock.now += 86_400_000;
  const restored = await visitor.visit(remembering);
  assert.equal(who(restored), 'alice');
  assert.equal(cookiesOf(restored).length, 2);
  assert.ok(restored.kind === 'session');
  assert.equal(restored.session.authenticatedAt, T0);
  assert.equal(restored.session.startedAt, clock.now);
  assert.equal(who(await visitor.visit(remembering)), 'alice');
});

test('the persistent cookie ends with its own limits and with a logout', async () => {
  const { guard, clock } = world();
  const remembering = guard({ remember: true, remember_absolute_timeout: 100 });
  const visitor = new Visitor();
  await visitor.visit(remembering, signInAs(alice));
  const logout = { method: 'POST', target: '/?session_logout' };
  const thief = visitor.copy();
  assert.equal(cookiesOf(await visitor.visit(remembering, logout)).length, 2);
  assert.equal(visitor.jar.size, 0);
  clock.now += 101_000;
  thief.jar.delete('session');
  assert.equal((await thief.visit(remembering)).kind, 'nobody');
  assert.equal(thief.jar.size, 0);
});

test('ten tabs restored at once are one session', async () => {
  const guard = world().guard({ remember: true });
  const visitor = new Visitor();
  await visitor.visit(guard, signInAs(alice));
  visitor.jar.delete('session');
  const tabs = await Promise.all(Array.from({ length: 10 }, () => visitor.copy().visit(guard)));
  const keys = tabs.map((tab) => (tab.kind === 'session' ? tab.session.key : 'none'));
  assert.equal(new Set(keys).size, 1);
});

test('a session bound to an address is good from there only, and is not harmed elsewhere', async () => {
  const guard = world().guard({ bind: ['ip', 'user-agent'] });
  const home = { traits: { ip: '192.0.2.1', 'user-agent': 'x' } };
  const visitor = new Visitor();
  await visitor.visit(guard, { ...signInAs(alice), ...home });
  const away = await visitor.visit(guard, { traits: { ip: '192.0.2.2', 'user-agent': 'x' } });
  assert.deepEqual(away, { kind: 'nobody', why: 'invalid', cookies: [], rest: '' });
  assert.equal(who(await visitor.visit(guard, home)), 'alice');
  assert.equal((await visitor.visit(guard, {})).kind, 'nobody');
});

test('one thing to be bound to is enough', async () => {
  const guard = world().guard({ bind: ['ip'] });
  const visitor = new Visitor();
  await visitor.visit(guard, { ...signInAs(alice), traits: { ip: '192.0.2.1' } });
  assert.equal((await visitor.visit(guard, { traits: { ip: '192.0.2.2' } })).kind, 'nobody');
  assert.equal(who(await visitor.visit(guard, { traits: { ip: '192.0.2.1' } })), 'alice');
});

test('the upstream gets neither the session cookie nor the persistent one', async () => {
  const guard = world().guard({ remember: true });
  const visitor = new Visitor();
  await visitor.visit(guard, signInAs(alice));
  visitor.jar.set('a', '1');
  const restOf = async (visit?: Visit) => {
    const decision = await visitor.copy().visit(guard, visit);
    return 'rest' in decision ? decision.rest : undefined;
  };
  assert.equal(await restOf(), 'a=1');
  assert.equal(await restOf(signInAs(alice)), 'a=1');
  assert.equal(await restOf(signInAs(bob)), 'a=1');
  visitor.jar.delete('session');
  assert.equal(await restOf(), 'a=1');
  assert.equal(await restOf(signInAs(bob)), 'a=1');
});

test('who signs in anew keeps what the persistent cookie holds for other audiences', async () => {
  const { guard } = world();
  const [a, b] = [
    guard({ audience: 'a', remember: true }),
    guard({ audience: 'b', remember: true }),
  ];
  const visitor = new Visitor();
  await visitor.visit(a, signInAs(alice));
  await visitor.visit(b, signInAs(alice));
  await visitor.visit(a, signInAs(alice, 'another key'));
  for (const audience of [a, b, a]) {
    visitor.jar.delete('session');
    assert.equal(who(await visitor.visit(audience)), 'alice');
  }
});

test('with a consumer that is gone goes the session, and the persistent cookie once it is looked at', async () => {
  const guard = world().guard({ remember: true });
  const visitor = new Visitor();
  await visitor.visit(guard, signInAs(carol));
  for (const name of ['session', 'remember']) {
    // Somebody else is found, so Kong can tell.
    const decision = await visitor.visit(guard, { consumer: bob });
    assert.equal(decision.kind, 'nobody');
    const names = cookiesOf(decision).map((line) => line.slice(0, line.indexOf('=')));
    assert.deepEqual(names, [name]);
  }
  assert.equal(visitor.jar.size, 0);
});

test('polling does not prolong a session', async () => {
  const { guard, clock } = world();
  const exempting = guard({
    idling_timeout: 10,
    idle_exempt_paths: ['/poll'],
    idle_exempt_header: 'x-background',
  });
  for (const polling of [{ target: '/poll/me?x' }, { headers: ['x-background'] }]) {
    const visitor = new Visitor();
    await visitor.visit(exempting, signInAs(alice));
    clock.now += 6000;
    assert.deepEqual(cookiesOf(await visitor.visit(exempting, polling)), []);
    clock.now += 6000;
    assert.equal((await visitor.visit(exempting)).kind, 'nobody');
  }
});

test('what is no polling does prolong a session', async () => {
  const { guard, clock } = world();
  for (const exempt of [{ idle_exempt_header: 'x-background' }, { idle_exempt_paths: ['/poll'] }]) {
    const exempting = guard({ idling_timeout: 10, ...exempt });
    const visitor = new Visitor();
    await visitor.visit(exempting, signInAs(alice));
    for (let visit = 0; visit < 3; visit++) {
      clock.now += 6000;
      assert.equal(who(await visitor.visit(exempting)), 'alice');
    }
  }
});

test('a cookie under a fallback is sealed anew under the first secret', async () => {
  const other = 'Zt5Rw8Yb2Nq6Mv4Xc1Ld9Kf7Hj3Gs0PaEoUiTy';
  const { guard } = world();
  const before = guard();
  const during = guard({ secret: other, secret_fallbacks: [SECRET] });
  const after = guard({ secret: other });
  const visitor = new Visitor();
  await visitor.visit(before, signInAs(alice));
  assert.equal((await visitor.copy().visit(after)).kind, 'nobody');
  const moved = await visitor.visit(during);
  assert.equal(who(moved), 'alice');
  assert.equal(cookiesOf(moved).length, 1);
  assert.equal(who(await visitor.visit(after)), 'alice');
});

test('Secure by the scheme of the request where that is wanted, and else as configured', async () => {
  const { guard } = world();
  const signIn = (scheme: string, fields: object = { cookie_secure_auto: true }) =>
    new Visitor().visit(guard(fields), { ...signInAs(alice), traits: { scheme } });
  assert.match(cookiesOf(await signIn('https'))[0] ?? '', /; Secure/);
  assert.doesNotMatch(cookiesOf(await signIn('http'))[0] ?? '', /; Secure/);
  assert.match(cookiesOf(await signIn('http', {}))[0] ?? '', /; Secure/);
  assert.doesNotMatch(
    cookiesOf(await signIn('https', { cookie_secure: false }))[0] ?? '',
    /; Secure/,
  );
});

test('a session too large for cookies is none, and an earlier cookie goes', async () => {
  const guard = world().guard();
  const visitor = new Visitor();
  await visitor.visit(guard, signInAs(bob));
  const groups = Array.from({ length: 4000 }, (_, index) => `group-${index}`);
  const decision = await visitor.visit(guard, { ...signInAs(alice), groups });
  assert.equal(decision.kind, 'credential');
  assert.equal(visitor.jar.size, 0);
});

test('chunks without their first reach no upstream and are deleted', async () => {
  const guard = world().guard();
  const visitor = new Visitor();
  const groups = Array.from({ length: 800 }, (_, index) => `group-${index}`);
  await visitor.visit(guard, { ...signInAs(alice), groups });
  assert.ok(visitor.jar.size > 2, 'several cookies');
  assert.equal(who(await visitor.visit(guard)), 'alice');
  visitor.jar.delete('session');
  visitor.jar.set('a', '1');
  const decision = await visitor.visit(guard);
  assert.ok(decision.kind === 'nobody');
  assert.deepEqual([decision.why, decision.rest], ['missing', 'a=1']);
  assert.deepEqual([...visitor.jar.keys()], ['a']);
});

test('groups travel with the session', async () => {
  const guard = world().guard();
  const visitor = new Visitor();
  await visitor.visit(guard, { ...signInAs(alice), groups: ['gold', 'silver'] });
  const visit = await visitor.visit(guard);
  assert.ok(visit.kind === 'session');
  assert.deepEqual(visit.session.data.groups, ['gold', 'silver']);
});

test('other groups at the same credential are another session', async () => {
  const guard = world().guard();
  const visitor = new Visitor();
  await visitor.visit(guard, { ...signInAs(alice), groups: ['admin'] });
  await visitor.visit(guard, { ...signInAs(alice), groups: ['user'] });
  const visit = await visitor.visit(guard);
  assert.ok(visit.kind === 'session');
  assert.deepEqual(visit.session.data.groups, ['user']);
});

test('the seventeenth audience takes the place of the last', async () => {
  const { guard } = world();
  const visitor = new Visitor();
  const guards = Array.from({ length: 17 }, (_, index) => guard({ audience: `a${index}` }));
  for (const each of guards) await visitor.visit(each, signInAs(alice));
  const alive: boolean[] = [];
  for (const each of guards) alive.push(who(await visitor.copy().visit(each)) === 'alice');
  assert.equal(alive.filter(Boolean).length, 16);
  assert.equal(alive[16], true, 'the newest');
});

test('a session from the future is none', async () => {
  const { guard, clock } = world();
  const visitor = new Visitor();
  clock.now += 3_600_000;
  await visitor.visit(guard(), signInAs(alice));
  clock.now -= 3_600_000;
  assert.equal((await visitor.visit(guard())).kind, 'nobody');
});

test('a cookie that names a session in a database proves nothing where sessions live in cookies', async () => {
  const guard = world().guard();
  const entry = { audience: 'default', id: 'A'.repeat(43), generation: 0 };
  const visitor = new Visitor();
  visitor.jar.set('session', await guard.channels.session.codec.seal([entry], T0));
  assert.equal(recognise(guard, requestOf(visitor.cookies, {})), undefined);
  const decision = await visitor.visit(guard);
  assert.equal(decision.kind === 'nobody' && decision.why, 'revoked');
  assert.equal(visitor.jar.size, 0);
});

test('users find their sessions under the configured path, and only there', async () => {
  const guard = world().guard({ self_service: true });
  const visitor = new Visitor();
  const signIn = await visitor.visit(guard, signInAs(alice));
  assert.ok(signIn.kind === 'credential');
  const listed = await visitor.visit(guard, { target: '/app/_sessions' });
  assert.ok(listed.kind === 'answer');
  assert.deepEqual(listed.answer.body, {
    sessions: [
      {
        id: signIn.session?.handle,
        current: true,
        signed_in_at: new Date(T0).toISOString(),
        last_seen_at: new Date(T0).toISOString(),
      },
    ],
  });
  assert.equal((await visitor.visit(guard, { target: '/_sessions/x' })).kind, 'session');
  assert.equal((await visitor.visit(guard, { target: '/x_sessions2' })).kind, 'session');
  assert.equal((await new Visitor().visit(guard, { target: '/_sessions' })).kind, 'nobody');
  const posted = await visitor.visit(guard, { method: 'POST', target: '/_sessions' });
  assert.equal(posted.kind === 'answer' && posted.answer.status, 405);
});

test('sessions are listed for those who sign in with this request, and for no anonymous consumer', async () => {
  const guard = world().guard({ self_service: true });
  const target = '/_sessions';
  assert.equal((await new Visitor().visit(guard, { ...signInAs(alice), target })).kind, 'answer');
  assert.equal((await new Visitor().visit(guard, { consumer: bob, target })).kind, 'nobody');
  const nameless = { credential: { id: 'x' }, target };
  assert.equal((await new Visitor().visit(guard, nameless)).kind, 'credential');
});

test("a handle that is not the user's own ends nothing", async () => {
  const guard = world().guard({ self_service: true });
  const [mine, theirs] = [new Visitor(), new Visitor()];
  await mine.visit(guard, signInAs(alice));
  const other = await theirs.visit(guard, signInAs(bob));
  assert.ok(other.kind === 'credential');
  const target = `/_sessions/${other.session?.handle}`;
  const refused = await mine.visit(guard, { method: 'DELETE', target });
  assert.equal(refused.kind === 'answer' && refused.answer.status, 404);
  const ended = await theirs.visit(guard, { method: 'DELETE', target });
  assert.equal(ended.kind === 'answer' && ended.answer.status, 200);
  assert.equal(theirs.jar.size, 0);
});

test("a credential's number is its own consumer's only", async () => {
  const guard = world().guard();
  const visitor = new Visitor();
  await visitor.visit(guard, signInAs(alice, 'one'));
  assert.equal(cookiesOf(await visitor.visit(guard, signInAs(bob, 'one'))).length, 1);
  assert.equal(who(await visitor.visit(guard)), 'bob');
});

test("a credential without a number is known by its consumer's", async () => {
  const visitor = new Visitor();
  const decision = await visitor.visit(world().guard(), { credential: {}, consumer: alice });
  assert.ok(decision.kind === 'credential');
  assert.equal(decision.session?.credentialId, alice.id);
});

test('the same groups at the same credential are the same session', async () => {
  const guard = world().guard();
  const visitor = new Visitor();
  const signIn = { ...signInAs(alice), groups: ['gold', 'silver'] };
  assert.equal(cookiesOf(await visitor.visit(guard, signIn)).length, 1);
  assert.deepEqual(cookiesOf(await visitor.visit(guard, signIn)), []);
});

test('that a consumer is gone is told', async () => {
  const guard = world().guard();
  const visitor = new Visitor();
  await visitor.visit(guard, signInAs(carol));
  const told = await codesOf(() => visitor.visit(guard, { consumer: bob }));
  assert.deepEqual(told, ['consumer_gone']);
});

test('who signs in with the persistent cookie alone gets a session', async () => {
  const guard = world().guard({ remember: true });
  const visitor = new Visitor();
  await visitor.visit(guard, signInAs(alice));
  visitor.jar.delete('session');
  const decision = await visitor.visit(guard, signInAs(alice));
  assert.ok(decision.kind === 'credential' && decision.session !== undefined);
  assert.ok(visitor.jar.has('session'));
  visitor.jar.delete('remember');
  assert.equal(who(await visitor.visit(guard)), 'alice');
});

test('a consumer that is gone ends one audience; the cookie stays for the other', async () => {
  const { guard } = world();
  const [a, b] = [guard({ audience: 'a' }), guard({ audience: 'b' })];
  const visitor = new Visitor();
  await visitor.visit(a, signInAs(carol));
  await visitor.visit(b, signInAs(alice));
  const decision = await visitor.visit(a, { consumer: bob });
  assert.equal(decision.kind, 'nobody');
  assert.deepEqual(cookiesOf(decision), []);
  assert.equal(who(await visitor.visit(b)), 'alice');
});

test('while Kong finds nobody at all, the session says who it is', async () => {
  const nameless = { id: '44444444-4444-4444-8444-444444444444', customId: 'c-4' };
  for (const consumer of [carol, nameless]) {
    const guard = world().guard();
    const visitor = new Visitor();
    await visitor.visit(guard, signInAs(consumer));
    const decision = await visitor.visit(guard);
    assert.deepEqual(decision.kind === 'session' && decision.consumer, consumer);
  }
});

test('the header of a session that has ended is forgotten, and no other', async () => {
  const { guard, clock } = world();
  const short = guard({ idling_timeout: 10 });
  const visitor = new Visitor();
  await visitor.visit(short, signInAs(alice));
  const { cookies } = visitor;
  const isKnown = () => recall(short.channels.session, cookies) !== undefined;
  await deliberate(short, requestOf(cookies, {}));
  assert.equal(isKnown(), true);
  await deliberate(short, requestOf(cookies, {}));
  assert.equal(isKnown(), true);
  clock.now += 11_000;
  assert.equal((await deliberate(short, requestOf(cookies, {}))).kind, 'nobody');
  assert.equal(isKnown(), false);
});

test('a session that is known at once yields to a credential, and to a method that is not known', async () => {
  const guard = world().guard();
  const visitor = new Visitor();
  await visitor.visit(guard, signInAs(alice));
  assert.equal(who(await visitor.visit(guard)), 'alice');
  const { cookies } = visitor;
  assert.notEqual(recognise(guard, requestOf(cookies, {})), undefined);
  assert.equal(recognise(guard, { ...requestOf(cookies, {}), method: undefined }), undefined);
  assert.equal(recognise(guard, requestOf(cookies, { method: 'DELETE' })), undefined);
  assert.equal((await visitor.visit(guard, signInAs(bob))).kind, 'credential');
  assert.equal(who(await visitor.visit(guard)), 'bob');
});

test('why nobody is signed in', async () => {
  const { guard, clock } = world();
  const remembering = guard({ remember: true, remember_absolute_timeout: 100_000 });
  const why = async (visitor: Visitor) => {
    const decision = await visitor.copy().visit(remembering);
    return decision.kind === 'nobody' ? decision.why : decision.kind;
  };
  const visitor = new Visitor();
  assert.equal(await why(visitor), 'missing');
  visitor.jar.set('session', 'of-somebody-else');
  assert.equal(await why(visitor), 'missing');
  await visitor.visit(remembering, signInAs(alice));
  const of = (...names: string[]) => {
    const copy = new Visitor();
    for (const name of names) copy.jar.set(name, visitor.jar.get(name) ?? '');
    return copy;
  };
  const broken = of('session');
  broken.jar.set('session', damage(broken.jar.get('session') ?? ''));
  assert.equal(await why(broken), 'invalid');
  const forgotten = of('remember');
  forgotten.jar.set('remember', damage(forgotten.jar.get('remember') ?? ''));
  assert.equal(await why(forgotten), 'invalid');
  clock.now += 101_000_000;
  assert.equal(await why(of('session')), 'expired');
  assert.equal(await why(of('remember')), 'expired');
  assert.equal(await why(visitor), 'expired');
});

test('a persistent cookie that has run out is deleted, one that was never there is not', async () => {
  const { guard, clock } = world();
  const remembering = guard({ remember: true, remember_absolute_timeout: 100 });
  const visitor = new Visitor();
  await visitor.visit(remembering, signInAs(alice));
  clock.now += 10_000_000;
  const names = async (copy: Visitor) =>
    cookiesOf(await copy.visit(remembering)).map((line) => line.slice(0, line.indexOf(';')));
  const alone = visitor.copy();
  alone.jar.delete('remember');
  assert.deepEqual(await names(alone), ['session=']);
  assert.deepEqual(await names(visitor), ['session=', 'remember=']);
});

test('a cookie that does not open is deleted; a persistent one is left to whose it may be', async () => {
  const guard = world().guard({ remember: true });
  const visitor = new Visitor();
  await visitor.visit(guard, signInAs(alice));
  for (const [name, value] of visitor.jar) visitor.jar.set(name, damage(value));
  const decision = await visitor.visit(guard);
  assert.deepEqual(
    cookiesOf(decision).map((line) => line.slice(0, line.indexOf(';'))),
    ['session='],
  );
  assert.deepEqual([...visitor.jar.keys()], ['remember']);
});
