import { element } from './view.js';

/** Time enough to hear of it, and to do something about it (WCAG 2.2.1). */
const WARNING = 60;

let timer;

export function stopCountdown() {
  clearInterval(timer);
  element('countdown').textContent = '';
}

/** Counts down to the end of the session. `warn` is called once, `end` every second from a second after the end. */
export function startCountdown(seconds, { warn, end }) {
  stopCountdown();
  if (Number.isNaN(seconds)) return;
  const endsAt = Date.now() + seconds * 1000; // goes on while the machine sleeps
  let hasWarned = false;
  const tick = () => {
    const left = Math.round((endsAt - Date.now()) / 1000);
    element('countdown').textContent = clock(Math.max(0, left));
    if (left < 0) return end();
    if (left > WARNING || hasWarned) return;
    hasWarned = true;
    warn();
  };
  timer = setInterval(tick, 1000);
  tick();
}

const clock = (seconds) => {
  const [hours, minutes, rest] = [seconds / 3600, (seconds % 3600) / 60, seconds % 60].map(
    Math.floor,
  );
  const digits = (number) => String(number).padStart(2, '0');
  return hours > 0 ? `${hours}:${digits(minutes)}:${digits(rest)}` : `${minutes}:${digits(rest)}`;
};
