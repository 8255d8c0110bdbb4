import type { HttpAnswer, HttpHandler, HttpRequest } from '../endpoint/answer.ts';
import { HttpError } from '../endpoint/answer.ts';
import { isSame } from '../endpoint/token.ts';
import { SCRIPT, STYLE } from './assets.ts';
import { count, end, list, targetOf } from './directory.ts';
import { History } from './history.ts';
import { IDLE_SECONDS, Logins } from './logins.ts';
import type { Login } from './logins.ts';
import { confirmPage, live, loginPage, messagePage, overviewPage } from './pages.ts';

const COOKIE = 'session_guard_console';

/** Nothing but our own style sheet and script, and no page of others around ours (ASVS 3.4.3, 3.4.6). */
const POLICY = [
  "default-src 'none'",
  "style-src 'self'",
  "script-src 'self'",
  "connect-src 'self'",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join('; ');

const HEADERS = {
  'Content-Security-Policy': POLICY,
  'Referrer-Policy': 'same-origin',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
};

const answer = (status: number, type: string, body: string): HttpAnswer => ({
  status,
  headers: { ...HEADERS, 'Content-Type': `${type}; charset=utf-8` },
  body,
});
const page = (body: string, status = 200): HttpAnswer => answer(status, 'text/html', body);
const redirect = (location: string, cookie?: string): HttpAnswer => ({
  status: 303,
  headers: {
    ...HEADERS,
    Location: location,
    ...(cookie !== undefined && { 'Set-Cookie': cookie }),
  },
  body: '',
});

/** Not Secure, since the endpoint speaks plain HTTP to loopback; Strict, so that no other site's link brings it. */
const cookieOf = (value: string, maxAge: number): string =>
  `${COOKIE}=${value}; Max-Age=${maxAge}; Path=/console; HttpOnly; SameSite=Strict`;

export interface Console {
  readonly handler: HttpHandler;
  close(): void;
}

/** The pages under `/console`, for those who show the token. */
export function openConsole(token: string, history = new History()): Console {
  const counting = history.start();
  const pages = new Pages(new Logins(token), history);
  return { handler: (request) => pages.answer(request), close: () => counting.stop() };
}

class Pages {
  readonly #logins: Logins;
  readonly #history: History;

  constructor(logins: Logins, history: History) {
    this.#logins = logins;
    this.#history = history;
  }

  async answer(request: HttpRequest): Promise<HttpAnswer | undefined> {
    const { method, path } = request;
    if (path !== '/console' && !path.startsWith('/console/')) return undefined;
    if (method === 'GET' && path === '/console/style.css') return answer(200, 'text/css', STYLE);
    if (method === 'GET' && path === '/console/live.js') {
      return answer(200, 'text/javascript', SCRIPT);
    }
    if (method === 'POST' && path === '/console/login') return this.#signIn(request);
    const login = this.#logins.find(cookieIn(request.headers['cookie']));
    if (login === undefined) return page(loginPage(), path === '/console' ? 200 : 401);
    return method === 'GET' ? this.#show(request, login) : this.#change(request, login);
  }

  async #signIn(request: HttpRequest): Promise<HttpAnswer> {
    refuseForeign(request);
    const login = this.#logins.begin((await request.form()).get('token') ?? '');
    if (login === 'later') {
      return page(loginPage('Too many wrong tokens: try again in a minute.'), 429);
    }
    if (login === undefined) return page(loginPage('That is not the token.'), 401);
    return redirect('/console', cookieOf(login.id, IDLE_SECONDS));
  }

  async #show({ path, query }: HttpRequest, login: Login): Promise<HttpAnswer | undefined> {
    const history = this.#history;
    if (path === '/console/live') return page(live(history).text);
    if (path === '/console') {
      const filter = (query.get('q') ?? '').trim();
      const ended = /^\d{1,6}$/.exec(query.get('ended') ?? '')?.[0];
      const notice = ended === undefined ? undefined : `Ended: ${ended}. No node accepts them.`;
      const listings = await list(filter);
      const shown = page(overviewPage({ login, history, listings, filter, notice }));
      return {
        ...shown,
        headers: { ...shown.headers, 'Set-Cookie': cookieOf(login.id, IDLE_SECONDS) },
      };
    }
    if (path !== '/console/revoke') return undefined;
    const target = targetOf(query);
    const number = target ? await count(target) : 0;
    return target && number > 0
      ? page(confirmPage(login, target, number))
      : page(messagePage('Nothing to end', 'No living session is meant by that.', login), 404);
  }

  async #change(request: HttpRequest, login: Login): Promise<HttpAnswer | undefined> {
    refuseForeign(request);
    const form = await request.form();
    if (!isSame(form.get('form') ?? '', login.formToken))
      throw new HttpError(403, 'a form of ours');
    if (request.path === '/console/logout') {
      this.#logins.end(login);
      return redirect('/console', cookieOf('', 0));
    }
    if (request.path !== '/console/revoke') return undefined;
    const target = targetOf(form);
    const reason = (form.get('reason') ?? '').trim().slice(0, 200);
    if (target === undefined || reason === '') throw new HttpError(400, 'a target and a reason');
    const number = await count(target);
    await end(target, `console: ${reason}`);
    return redirect(`/console?ended=${number}`);
  }
}

/** A form of another origin, where the browser tells (Fetch Metadata; older ones have the token of the form). */
function refuseForeign({ headers }: HttpRequest): void {
  const site = headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin') throw new HttpError(403, 'not from elsewhere');
}

const cookieIn = (header: string | undefined): string | undefined =>
  new RegExp(`(?:^|; )${COOKIE}=([\\w-]+)`).exec(header ?? '')?.[1];
