// The GUI on portal.HOST and its API on api.HOST are different origins of the same site: the browser keeps the
// session cookie for the API alone and sends it with `credentials: 'include'`.
const api = new URL('/whoami', location.href);
api.hostname = location.hostname.replace(/^portal\./, 'api.');

const VIEWS = ['checking', 'unavailable', 'sign-in', 'account'];
const WRONG = 'The user name or the password is wrong.';
const ENDED = 'Your session has ended. Please sign in again.';
const SIGNED_OUT = 'You are signed out. Every copy of the session’s cookie is worthless now.';
const NOT_OUT = 'Signing out did not work: the service does not answer. Please try again.';
const UNREACHABLE = 'The service does not answer at the moment. Please try again.';

const element = (id) => document.getElementById(id);
const current = () => VIEWS.find((view) => !element(view).hidden);

/** Asks the API. The answer's status is what decides: 2xx, refused (401, 403), or out of reach (0 and all else). */
async function ask(method, query = '', headers = {}) {
  const url = `${api.origin}${api.pathname}${query}`;
  let response;
  try {
    response = await fetch(url, { method, headers, credentials: 'include', cache: 'no-store' });
  } catch {
    return { status: 0 };
  } finally {
    const answer = response === undefined ? 'no answer' : `${response.status}`;
    element('trace').textContent = `${method} ${api.host}${api.pathname}${query} → ${answer}`;
  }
  return { status: response.status, account: response.ok ? await account(response) : undefined };
}

const account = (response) => response.json().catch(() => ({}));
const isRefused = ({ status }) => status === 401 || status === 403;

function show(view, { status = '', alert = '' } = {}) {
  if (view !== 'account') fill({});
  element('password').value = '';
  element('status').textContent = status;
  element('alert').textContent = alert;
  if (view === current()) return;
  element('form').reset();
  for (const id of VIEWS) element(id).hidden = id !== view;
  element(view === 'sign-in' ? 'username' : `${view}-title`).focus();
}

/** No account data stays in the document once the account view is gone. */
function fill({ username = '', consumer = '', credential = '' }) {
  element('account-username').textContent = username;
  element('account-consumer').textContent = consumer;
  element('account-credential').textContent = credential;
}

async function check(refused = {}) {
  const answer = await ask('GET');
  if (isRefused(answer)) return show('sign-in', refused);
  if (answer.account === undefined) return show('unavailable');
  fill(answer.account);
  show('account');
}

async function signIn() {
  const pair = `${element('username').value}:${element('password').value}`;
  const encoded = btoa(String.fromCharCode(...new TextEncoder().encode(pair))); // RFC 7617 §2.1
  const answer = await ask('GET', '', { Authorization: `Basic ${encoded}` });
  if (answer.account === undefined) {
    show('sign-in', { alert: isRefused(answer) ? WRONG : UNREACHABLE });
    element('password').focus();
    return;
  }
  fill(answer.account);
  show('account');
}

async function signOut() {
  const answer = await ask('DELETE', '?session_logout=true');
  if (answer.status === 200) show('sign-in', { status: SIGNED_OUT });
  else if (isRefused(answer)) show('sign-in', { status: ENDED });
  else show('account', { alert: NOT_OUT });
}

/** One thing at a time: a second click while an answer is awaited does nothing. */
function once(work) {
  const main = document.querySelector('main');
  if (main.ariaBusy === 'true') return;
  main.ariaBusy = 'true';
  work().finally(() => (main.ariaBusy = 'false'));
}

element('form').addEventListener('submit', (event) => {
  event.preventDefault();
  once(signIn);
});
element('sign-out').addEventListener('click', () => once(signOut));
element('again').addEventListener('click', () => once(() => check({ status: ENDED })));
element('retry').addEventListener('click', () => once(check));

// Somebody may have signed out in another tab meanwhile.
document.addEventListener('visibilitychange', () => {
  if (!document.hidden && current() === 'account') once(() => check({ status: ENDED }));
});

// A page in the browser's back-forward cache is shown as it was left: leave nothing in it, and ask on return.
addEventListener('pagehide', () => show('checking'));
addEventListener('pageshow', () => once(check));
