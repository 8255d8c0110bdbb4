import { ask, isRefused } from './client.js';
import { startCountdown, stopCountdown } from './countdown.js';
import { listSessions } from './sessions.js';
import { chosenWay, credential, forget, retype } from './sign-in.js';
import { current, element, once, say, show } from './view.js';

const WRONG = {
  password: 'The user name or the password is wrong.',
  key: 'This key is not known.',
};
const ENDED = { status: 'Your session has ended. Please sign in again.' };
const ENDS_SOON = { status: 'Your session is about to end. “Stay signed in” keeps it.' };
const SIGNED_OUT = {
  status: 'You are signed out. Every copy of the session’s cookie is worthless now.',
};
const OUT_EVERYWHERE = { status: 'You are signed out everywhere.' };
const ONE_ENDED = { status: 'That session has ended.' };
const OTHERS_ENDED = { status: 'All other sessions have ended.' };
const NOT_OUT = {
  alert: 'Signing out did not work: the service does not answer. Please try again.',
};
const UNREACHABLE = { alert: 'The service does not answer at the moment. Please try again.' };

/** No account data stays in the document once the account view is gone. */
function leave(view, message) {
  stopCountdown();
  fill({});
  listSessions([]);
  forget({ all: view !== current() });
  show(view, message);
}

function fill({ username = '', consumer = '', credential: id = '' }) {
  element('account-username').textContent = username;
  element('account-consumer').textContent = consumer;
  element('account-credential').textContent = id;
}

/** Shows whose session it is; `ended` is said to whoever has none. */
async function check({ ended, said, inBackground = false } = {}) {
  const answer = await ask('GET', '/whoami', { inBackground });
  if (isRefused(answer)) return leave('sign-in', ended);
  if (answer.body === undefined) return leave('unavailable');
  await open(answer, said);
}

async function open({ body, secondsLeft }, said) {
  const list = await ask('GET', '/_sessions', { inBackground: true });
  if (isRefused(list)) return leave('sign-in', ENDED);
  fill(body);
  listSessions(list.body?.sessions ?? [], (id) => once(() => endSessions(`/${id}`, ONE_ENDED)));
  show('account', said ?? (list.body ? {} : UNREACHABLE));
  startCountdown(secondsLeft, {
    warn: () => say(ENDS_SOON),
    end: () => once(() => check({ ended: ENDED, inBackground: true })),
  });
}

async function signIn() {
  const answer = await ask('GET', '/whoami', { headers: credential() });
  if (answer.body !== undefined) {
    forget({ all: true });
    return open(answer);
  }
  leave('sign-in', isRefused(answer) ? { alert: WRONG[chosenWay()] } : UNREACHABLE);
  retype();
}

async function signOut(path, said) {
  const answer = await ask('DELETE', path);
  if (answer.status === 200) leave('sign-in', said);
  else if (isRefused(answer)) leave('sign-in', ENDED);
  else say(NOT_OUT);
}

/** Ends other sessions than this one. */
async function endSessions(which, said) {
  const answer = await ask('DELETE', `/_sessions${which}`);
  if (isRefused(answer)) return leave('sign-in', ENDED);
  // What is not there has ended some other way.
  if (answer.status !== 200 && answer.status !== 404) return say(UNREACHABLE);
  await check({ ended: ENDED, said });
  element('sessions-title').focus(); // the button that was pressed is gone
}

const press = (id, work) => element(id).addEventListener('click', () => once(work));

element('form').addEventListener('submit', (event) => {
  event.preventDefault();
  once(signIn);
});
press('sign-out', () => signOut('/?session_logout=true', SIGNED_OUT));
press('end-all', () => signOut('/_sessions', OUT_EVERYWHERE));
press('end-others', () => endSessions('/others', OTHERS_ENDED));
press('stay', () => check({ ended: ENDED }));
press('retry', () => check());

// Somebody may have signed out in another tab meanwhile.
document.addEventListener('visibilitychange', () => {
  if (document.hidden || current() !== 'account') return;
  once(() => check({ ended: ENDED, inBackground: true }));
});

// A page in the browser's back-forward cache is shown as it was left: leave nothing in it, and ask on return.
addEventListener('pagehide', () => leave('checking'));
addEventListener('pageshow', () => once(() => check()));
