// Where the API is: on a sibling of this page's host, or below it. The browser keeps the session's cookie for the
// API; this page only says that it may be sent.
const address = document.querySelector('meta[name=api]').content;

/** Tells the API that nobody asked for this request: it shall not keep a forgotten session alive. */
const BACKGROUND = { 'X-Background': '1' };

/**
 * The API's answer: `status` is 0 where there was none, `body` is what it said where it agreed, `secondsLeft` is how
 * long the session lasts from now.
 */
export async function ask(method, path, { headers = {}, inBackground = false } = {}) {
  const url = `${address}${path}`;
  const all = inBackground ? { ...headers, ...BACKGROUND } : headers;
  const options = { method, headers: all, credentials: 'include', cache: 'no-store' };
  const response = await fetch(url, options).catch(() => undefined);
  const [, shown] = url.split('://');
  trace(`${method} ${shown} → ${response?.status ?? 'no answer'}`);
  if (response === undefined) return { status: 0 };
  const secondsLeft = Number(response.headers.get('Session-Timeout') ?? NaN);
  const body = response.ok ? await response.json().catch(() => ({})) : undefined;
  return { status: response.status, body, secondsLeft };
}

export const isRefused = ({ status }) => status === 401 || status === 403;

function trace(line) {
  document.getElementById('trace').textContent = line;
}
