// The first that matches counts: most browsers claim to be several others as well.
const BROWSERS = {
  Edg: 'Edge',
  OPR: 'Opera',
  Firefox: 'Firefox',
  Chrome: 'Chrome',
  Safari: 'Safari',
};
const SYSTEMS = {
  Android: 'Android',
  iPhone: 'iOS',
  Windows: 'Windows',
  'Mac OS': 'macOS',
  Linux: 'Linux',
};

const find = (names, text) => Object.entries(names).find(([mark]) => text.includes(mark))?.[1];

/** A User-Agent header in words, such as “Firefox on Linux”; what no browser sends stays as it is. */
export function deviceOf(userAgent = 'an unknown program') {
  const browser = find(BROWSERS, userAgent);
  const system = find(SYSTEMS, userAgent);
  return browser && system ? `${browser} on ${system}` : userAgent;
}
