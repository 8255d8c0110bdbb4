import { LRUCache } from 'lru-cache';
import type { Config } from './config.ts';
import type { Consumer } from './consumers.ts';
import { TOLD } from './fields.ts';
import type { Told } from './fields.ts';
import type { Decision } from './guard.ts';
import type { Pdk, PdkCall, PdkValue } from './pdk.ts';
import type { Guard } from './presence.ts';
import type { Request } from './request.ts';
import type { Answer } from './self-service.ts';
import type { Session, SessionData } from './session.ts';
import { headerOf, sessionHeaders } from './told.ts';

/** Identity headers that Kong's auth plugins and acl set or clear by themselves. */
const CONSUMER_HEADERS = [
  'X-Consumer-ID',
  'X-Consumer-Custom-ID',
  'X-Consumer-Username',
  'X-Credential-Identifier',
  'X-Anonymous-Consumer',
];
/** Those that nobody but a client, or an auth plugin that we override, has set when it is our turn. */
const AUTHENTICATED_HEADERS = ['X-Authenticated-Scope', 'X-Authenticated-UserId'];
const GROUP_HEADERS = ['X-Authenticated-Groups', 'X-Consumer-Groups'];

/**
 * Many frameworks fold underscores into dashes, so a client's `x_consumer_username` would speak for Kong
 * (CVE-2025-64484). For mixed spellings see kong.conf.example.
 */
const UNDERSCORE_TWINS = [...CONSUMER_HEADERS, ...AUTHENTICATED_HEADERS, ...GROUP_HEADERS].map(
  (name) => name.replaceAll('-', '_'),
);

type Headers = Record<string, PdkValue>;

/** `[]` clears a header in the same call that sets others; null would leave the client's. */
const cleared = (names: readonly string[]): Headers =>
  Object.fromEntries(names.map((name) => [name, []]));

/** What only we tell, so that a client's own never passes for ours (D11). */
const SESSION_HEADERS = TOLD.map(headerOf);
const SESSION_TWINS = SESSION_HEADERS.map((name) => name.replaceAll('-', '_'));

const ALWAYS_CLEARED = cleared([
  ...UNDERSCORE_TWINS,
  ...GROUP_HEADERS,
  ...SESSION_HEADERS,
  ...SESSION_TWINS,
]);
const CLEARED_FOR_NOBODY = { ...ALWAYS_CLEARED, ...cleared(AUTHENTICATED_HEADERS) };
const CLEARED_WITHOUT_AUTH_PLUGIN = { ...CLEARED_FOR_NOBODY, ...cleared(CONSUMER_HEADERS) };

/** The calls that carry a decision out, in one batch that ends the event. */
export async function carryOut(
  decision: Decision,
  guard: Guard,
  request: Request,
  pdk: Pdk,
): Promise<void> {
  const { config } = guard;
  switch (decision.kind) {
    case 'unavailable':
      return pdk.act(UNAVAILABLE);
    case 'logout':
      return pdk.act([goodbye(decision.cookies, config)]);
    case 'answer':
      return pdk.act([answer(decision.answer, decision.cookies)]);
    case 'nobody':
      if (config.unauthenticated === 'deny') return pdk.act([deny(decision.cookies)]);
      return pdk.act([
        clearing(
          (await request.consumer()) ? CLEARED_FOR_NOBODY : CLEARED_WITHOUT_AUTH_PLUGIN,
          decision.rest,
        ),
        ...responseCalls(decision.cookies, {}),
      ]);
    case 'credential':
      return pdk.act([
        upstreamHeaders(
          {
            ...ALWAYS_CLEARED,
            ...groupHeader(decision.groups),
            ...told(config.requestHeaders, guard, decision.session),
          },
          decision.rest,
        ),
        ...responseCalls(decision.cookies, told(config.responseHeaders, guard, decision.session)),
      ]);
    case 'session': {
      const response = responseCalls(
        decision.cookies,
        told(config.responseHeaders, guard, decision.session),
      );
      const identity = identityCalls(decision, guard, pdk);
      // The identity comes last: from there on Kong takes the request for the consumer's.
      return pdk.act(response.length > 0 ? [...response, ...identity] : identity);
    }
  }
}

const NOTHING: Headers = {};

const told = (
  names: readonly Told[],
  { config, storage }: Guard,
  session: Session | undefined,
): Headers =>
  session === undefined || names.length === 0
    ? NOTHING
    : sessionHeaders(names, session, config.timeouts, storage.now());

/** Answers a request whose fate could not be decided. */
export const refuse = (pdk: Pdk): Promise<void> => pdk.act(UNAVAILABLE);

/** A response that carries or ends a session belongs in no cache (RFC 9111 5.2.2.5; CVE-2025-48947). */
const NO_STORE = { 'Cache-Control': 'no-store' };
const JSON_TYPE = { 'Content-Type': 'application/json; charset=utf-8' };

const exit = (status: number, body: string, headers: Headers): PdkCall => [
  'kong.response.exit',
  status,
  body,
  headers,
];

const UNAVAILABLE: readonly PdkCall[] = [
  exit(503, '{"message":"Service temporarily unavailable"}', {
    'Retry-After': '5',
    ...NO_STORE,
    ...JSON_TYPE,
  }),
];

/** No WWW-Authenticate: it would make browsers ask for a password in a window of their own. */
const deny = (cookies: readonly string[]): PdkCall =>
  exit(401, '{"message":"Unauthorized"}', { ...withCookies(cookies), ...JSON_TYPE });

function upstreamHeaders(headers: Headers, rest: string | undefined): PdkCall {
  const cookie = rest === undefined ? undefined : { Cookie: rest === '' ? [] : rest };
  return ['kong.service.request.set_headers', { ...headers, ...cookie }];
}

/** A frozen call is encoded once (lib/server/protobuf-calls.ts); most requests need no other. */
const clearings = new Map<Headers, PdkCall>();

function clearing(headers: Headers, rest: string | undefined): PdkCall {
  if (rest !== undefined) return upstreamHeaders(headers, rest);
  let call = clearings.get(headers);
  if (call === undefined) {
    call = Object.freeze(upstreamHeaders(headers, undefined));
    clearings.set(headers, call);
  }
  return call;
}

function responseCalls(cookies: readonly string[], headers: Headers): PdkCall[] {
  const all = cookies.length > 0 ? { ...NO_STORE, ...headers } : headers;
  return [
    // Added, not set: another plugin may have set a cookie before us.
    ...(cookies.length > 0 ? [['kong.response.add_header', 'Set-Cookie', cookies] as const] : []),
    ...(Object.keys(all).length > 0 ? [['kong.response.set_headers', all] as const] : []),
  ];
}

/** A cookie in the headers of an exit replaces those added before it, so all of them go in there. */
const withCookies = (cookies: readonly string[]): Headers => ({
  ...(cookies.length > 0 && { 'Set-Cookie': cookies }),
  ...NO_STORE,
});

/** 303, so that the browser follows with a GET whatever it signed out with (RFC 9110 15.4.4). */
function goodbye(cookies: readonly string[], { logout }: Config): PdkCall {
  const sites = logout.clearSiteData.map((kind) => `"${kind}"`).join(', ');
  return exit(logout.redirect === undefined ? 200 : 303, '', {
    ...withCookies(cookies),
    ...(logout.redirect !== undefined && { Location: logout.redirect }),
    ...(sites !== '' && { 'Clear-Site-Data': sites }),
  });
}

const answer = ({ status, body, headers }: Answer, cookies: readonly string[]): PdkCall =>
  // Text becomes the octets that Kong sends.
  exit(status, Buffer.from(JSON.stringify(body)).toString('latin1'), {
    ...withCookies(cookies),
    ...headers,
    ...JSON_TYPE,
  });

const groupHeader = (groups: readonly string[] | undefined): Headers =>
  groups && groups.length > 0 ? { 'X-Authenticated-Groups': groups.join(', ') } : {};

type SessionDecision = Extract<Decision, { kind: 'session' }>;

interface Spoken {
  readonly consumer: Consumer;
  readonly rest: string | undefined;
  readonly byContext: boolean;
  readonly calls: readonly PdkCall[];
}

/**
 * What was last said of the sessions in use, frozen: as long as it is the same it is neither made nor encoded again. Some
 * 2 kB each, more with a long Cookie header, which is not worth it.
 */
const spoken = new LRUCache<SessionData, Spoken>({ max: 4000 });
const LONGEST_REST = 512;

/** The calls that make Kong take the request for the session's consumer. */
function identityCalls(decision: SessionDecision, guard: Guard, pdk: Pdk): readonly PdkCall[] {
  const { session, consumer, rest } = decision;
  const byContext = pdk.identityByContext;
  const headers = told(guard.config.requestHeaders, guard, session);
  // What is told of time differs from second to second.
  if (headers !== NOTHING || (rest?.length ?? 0) > LONGEST_REST) {
    return makeIdentityCalls(decision, headers, byContext);
  }
  const known = spoken.get(session.data);
  if (known?.consumer === consumer && known.rest === rest && known.byContext === byContext) {
    return known.calls;
  }
  const calls = makeIdentityCalls(decision, headers, byContext).map((call) => Object.freeze(call));
  spoken.set(session.data, { consumer, rest, byContext, calls });
  return calls;
}

const makeIdentityCalls = (
  { session, consumer, rest }: SessionDecision,
  headers: Headers,
  byContext: boolean,
): PdkCall[] => [
  upstreamHeaders({ ...identityHeaders(session, consumer), ...headers }, rest),
  ...groupCalls(session),
  ...authentication(session, consumer, byContext),
];

function identityHeaders({ credentialId, data }: Session, consumer: Consumer): Headers {
  return {
    ...CLEARED_WITHOUT_AUTH_PLUGIN,
    'X-Consumer-ID': consumer.id,
    ...(consumer.customId !== undefined && { 'X-Consumer-Custom-ID': consumer.customId }),
    ...(consumer.username !== undefined && { 'X-Consumer-Username': consumer.username }),
    ...(credentialId !== undefined && { 'X-Credential-Identifier': credentialId }),
    ...groupHeader(data.groups),
  };
}

const groupCalls = ({ data }: Session): PdkCall[] =>
  data.groups && data.groups.length > 0
    ? [['kong.nginx.set_ctx', 'authenticated_groups', data.groups]]
    : [];

function authentication(session: Session, consumer: Consumer, byContext: boolean): PdkCall[] {
  const who = {
    id: consumer.id,
    ...(consumer.username !== undefined && { username: consumer.username }),
    ...(consumer.customId !== undefined && { custom_id: consumer.customId }),
  };
  const credential = { id: session.credentialId ?? consumer.id, consumer_id: consumer.id };
  if (!byContext) return [['kong.client.authenticate', who, credential]];
  return [
    ['kong.nginx.set_ctx', 'authenticated_consumer', who],
    ['kong.nginx.set_ctx', 'authenticated_credential', credential],
  ];
}
