import { element } from './view.js';

const WAYS = ['password', 'key'];

export const chosenWay = () => new FormData(element('form')).get('way');

/** The headers that prove who somebody is: RFC 7617 §2.1, or Kong's key-auth. */
export function credential() {
  if (chosenWay() === 'key') return { apikey: element('key').value };
  const pair = `${element('username').value}:${element('password').value}`;
  return { Authorization: `Basic ${btoa(String.fromCharCode(...new TextEncoder().encode(pair)))}` };
}

/** Forgets what was typed that is secret, or everything. */
export function forget({ all = false } = {}) {
  for (const way of WAYS) element(way).value = '';
  if (!all) return;
  element('form').reset();
  showChosenWay();
}

/** Where to go on typing after a refusal. */
export const retype = () => element(chosenWay()).focus();

function showChosenWay() {
  for (const way of WAYS) {
    const isOther = way !== chosenWay();
    Object.assign(element(`way-${way}`), { hidden: isOther, disabled: isOther });
  }
}

element('form').addEventListener('change', showChosenWay);
