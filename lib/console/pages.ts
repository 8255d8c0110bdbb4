import type { AdminSession } from '../admin-store.ts';
import { chart } from './chart.ts';
import type { Listing, Target } from './directory.ts';
import type { Counted, History } from './history.ts';
import { html } from './html.ts';
import type { Content, Html } from './html.ts';
import type { Login } from './logins.ts';

/** A whole page. `login`: whose it is; without one there is nothing to sign out of. */
function page(title: string, main: Content, login?: Login): string {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <title>${title} · session-guard</title>
        <link rel="stylesheet" href="/console/style.css" />
        ${login && html`<script src="/console/live.js" defer></script>`}
      </head>
      <body>
        <header>
          <a class="brand" href="/console">session<span>guard</span></a>
          ${login && html`<form method="post" action="/console/logout">${formToken(login)}<button class="plain">Sign out</button></form>`}
        </header>
        <main>${main}</main>
      </body>
    </html>`.text;
}

const formToken = ({ formToken: token }: Login): Html =>
  html`<input type="hidden" name="form" value="${token}" />`;

export const loginPage = (problem?: string): string =>
  page(
    'Sign in',
    html`<section class="card narrow">
      <h1>Console</h1>
      ${problem !== undefined && html`<p class="problem" role="alert">${problem}</p>`}
      <form method="post" action="/console/login">
        <label for="token">Token</label>
        <input
          id="token"
          name="token"
          type="password"
          autocomplete="current-password"
          required
          autofocus
        />
        <p class="quiet">What the file of <code>--console-token-file</code> holds.</p>
        <button>Sign in</button>
      </form>
    </section>`,
  );

const TILES: readonly Counted[] = ['sign-ins', 'renewals', 'sign-outs', 'unavailable'];
const REFUSALS: readonly Counted[] = ['missing', 'invalid', 'expired', 'revoked'];

/** What changes by itself: fetched again by the script. */
export const live = (history: History): Html =>
  html`<ul class="tiles">
      ${TILES.map((name) => html`<li><strong>${history.total(name)}</strong> ${name}</li>`)}
    </ul>
    <div class="charts">
      ${chart('Sign-ins and renewals', ['sign-ins', 'renewals'], history.minutes)}
      ${chart('Refusals by reason', REFUSALS, history.minutes)}
    </div>`;

export interface Overview {
  readonly login: Login;
  readonly history: History;
  readonly listings: readonly Listing[];
  readonly filter: string;
  /** What has just been done. */
  readonly notice: string | undefined;
}

export function overviewPage({ login, history, listings, filter, notice }: Overview): string {
  return page(
    'Sessions',
    html`<h1>Sessions</h1>
      ${notice !== undefined && html`<p class="notice" role="status">${notice}</p>`}
      <section aria-labelledby="activity">
        <h2 id="activity">This node, the last hour</h2>
        <div id="live">${live(history)}</div>
      </section>
      <section aria-labelledby="sessions">
        <h2 id="sessions">Signed in</h2>
        <form class="filter" method="get" action="/console" role="search">
          <label for="q">Consumer id, subject or handle</label>
          <div>
            <input id="q" name="q" type="search" value="${filter}" />
            <button>Filter</button>
            ${filter !== '' && html`<a href="/console">Show all</a>`}
          </div>
        </form>
        ${listings.length === 0 && html`<p>No database is in use: Kong starts the plugin with the first request of a route.</p>`}
        ${listings.map((listing) => database(listing, filter))}
      </section>`,
    login,
  );
}

function database({ schema, stats, sessions, hasMore }: Listing, filter: string): Html {
  const heading = html`<h3><code>${schema}</code></h3>`;
  if (stats === undefined) {
    return html`${heading}
      <p class="problem" role="alert">The database does not answer.</p>`;
  }
  const { signIns, consumers, seenLastHour } = stats;
  return html`${heading}
    <p class="quiet">
      ${signIns} sign-ins of ${consumers} consumers, ${seenLastHour} of them seen in the last hour.
    </p>
    ${sessions.length === 0 ? html`<p>${filter === '' ? 'Nobody is signed in.' : 'No living session matches.'}</p>` : table(schema, sessions)}
    ${hasMore && html`<p>There are more: filter, or use <code>session-guard list</code>.</p>`}`;
}

/** One body of the table for each consumer. */
function table(schema: string, sessions: readonly AdminSession[]): Html {
  const byConsumer = new Map<string, AdminSession[]>();
  for (const session of sessions) {
    const own = byConsumer.get(session.consumerId);
    if (own) own.push(session);
    else byConsumer.set(session.consumerId, [session]);
  }
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Sessions in ${schema}">
    <table>
      <thead>
        <tr>
          <th scope="col">Session</th>
          <th scope="col">Audience</th>
          <th scope="col">Signed in</th>
          <th scope="col">Last seen</th>
          <th scope="col">Expires</th>
          <th scope="col"><span class="hidden">Action</span></th>
        </tr>
      </thead>
      ${[...byConsumer].map(([consumerId, own]) => consumerRows(consumerId, own))}
    </table>
  </div>`;
}

function consumerRows(consumerId: string, sessions: readonly AdminSession[]): Html {
  const subject = sessions.find((session) => session.subject !== undefined)?.subject;
  return html`<tbody>
    <tr class="consumer">
      <th scope="rowgroup" colspan="5">
        ${subject !== undefined && html`<span>${subject}</span> `}<code>${consumerId}</code>
        <span class="quiet"
          >${sessions.length} ${sessions.length === 1 ? 'session' : 'sessions'}</span
        >
      </th>
      <td>
        <a href="/console/revoke?consumer=${encodeURIComponent(consumerId)}"
          >End all<span class="hidden"> of ${consumerId}</span></a
        >
      </td>
    </tr>
    ${sessions.map(sessionRow)}
  </tbody>`;
}

const sessionRow = (session: AdminSession): Html =>
  html`<tr>
    <td>
      <code title="${session.handle}">${session.handle.slice(0, 8)}</code
      >${session.kind === 'remember' && html` <span class="tag">remember</span>`}
    </td>
    <td>${session.audience}</td>
    <td>${moment(session.authenticatedAt)}</td>
    <td>${moment(session.seenAt)}</td>
    <td>${session.expiresAt === Infinity ? 'never' : moment(session.expiresAt)}</td>
    <td>
      <a href="/console/revoke?handle=${session.handle}"
        >End<span class="hidden"> ${session.handle}</span></a
      >
    </td>
  </tr>`;

/** To the minute, in UTC, as the log has it. */
function moment(at: number): Html {
  const iso = new Date(at).toISOString();
  return html`<time datetime="${iso}">${iso.slice(0, 10)} ${iso.slice(11, 16)}</time>`;
}

export function confirmPage(login: Login, target: Target, count: number): string {
  const field =
    target.kind === 'handle'
      ? html`<input type="hidden" name="handle" value="${target.handle}" />`
      : html`<input type="hidden" name="consumer" value="${target.consumerId}" />`;
  const whose =
    target.kind === 'handle'
      ? html`the session <code>${target.handle}</code>`
      : html`all sessions of consumer <code>${target.consumerId}</code>`;
  return page(
    'End sessions',
    html`<section class="card">
      <h1>End sessions</h1>
      <p>
        This ends ${whose}: <strong>${count} ${count === 1 ? 'sign-in' : 'sign-ins'}</strong>, on
        every node, at once. It cannot be undone; whoever has a credential can sign in again.
      </p>
      <form method="post" action="/console/revoke">
        ${formToken(login)}${field}
        <label for="reason">Reason, for the audit</label>
        <input id="reason" name="reason" required maxlength="200" autocomplete="off" autofocus />
        <div class="actions">
          <button class="danger">End ${count === 1 ? 'it' : 'them'}</button>
          <a href="/console">Cancel</a>
        </div>
      </form>
    </section>`,
    login,
  );
}

export const messagePage = (title: string, text: string, login?: Login): string =>
  page(
    title,
    html`<section class="card">
      <h1>${title}</h1>
      <p>${text}</p>
      <p><a href="/console">Back to the sessions</a></p>
    </section>`,
    login,
  );
