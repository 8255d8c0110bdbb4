const VIEWS = ['checking', 'unavailable', 'sign-in', 'account'];

export const element = (id) => document.getElementById(id);
export const current = () => VIEWS.find((view) => !element(view).hidden);

/** Live regions: what is put there is read out. */
export function say({ status = '', alert = '' } = {}) {
  element('status').textContent = status;
  element('alert').textContent = alert;
}

/** Changes to a view, says what there is to say about it and takes the focus along. */
export function show(view, message) {
  say(message);
  if (view === current()) return;
  for (const id of VIEWS) element(id).hidden = id !== view;
  element(view).querySelector('[data-first]').focus();
}

/** One thing at a time: a second click while an answer is awaited does nothing. */
export function once(work) {
  const main = document.querySelector('main');
  if (main.ariaBusy === 'true') return;
  main.ariaBusy = 'true';
  work().finally(() => (main.ariaBusy = 'false'));
}
