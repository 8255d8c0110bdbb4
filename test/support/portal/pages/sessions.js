import { deviceOf } from './device.js';
import { element } from './view.js';

/** Fills the list; `end` is called with the id of the session that somebody wants to end. */
export function listSessions(sessions, end) {
  const newestFirst = sessions.toSorted((a, b) => b.last_seen_at.localeCompare(a.last_seen_at));
  element('sessions').replaceChildren(...newestFirst.map((session) => row(session, end)));
  element('end-others').hidden = sessions.length < 2;
}

function row({ id, current, signed_in_at, last_seen_at, ip, user_agent }, end) {
  const item = element('session').content.cloneNode(true);
  const part = (name) => item.querySelector(name);
  const device = deviceOf(user_agent);
  part('.device').textContent = device;
  part('.device').title = user_agent ?? '';
  part('.ip').textContent = ip ?? 'an unknown address';
  fillTime(part('.since'), signed_in_at);
  fillTime(part('.seen'), last_seen_at);
  const button = part('button');
  part(current ? 'button' : '.here').remove(); // “Sign out” is the button of this one
  button.ariaLabel = `End the session of ${device}, signed in ${part('.since').textContent}`;
  button.addEventListener('click', () => end(id));
  return item;
}

function fillTime(time, moment) {
  time.dateTime = moment;
  time.title = new Date(moment).toLocaleString();
  time.textContent = ago((Date.now() - Date.parse(moment)) / 1000);
}

const UNITS = [
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
];
const words = new Intl.RelativeTimeFormat('en');

function ago(seconds) {
  const unit = UNITS.find(([, length]) => seconds >= length);
  return unit ? words.format(-Math.floor(seconds / unit[1]), unit[0]) : 'just now';
}
