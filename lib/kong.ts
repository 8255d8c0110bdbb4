import { LRUCache } from 'lru-cache';
import { BESIDE_CREDENTIAL, FOR_ANONYMOUS, FOR_ANYBODY } from './clearing.ts';
import type { Headers } from './clearing.ts';
import type { Config } from './config.ts';
import type { Consumer } from './consumers.ts';
import type { Told } from './fields.ts';
import type { Decision } from './guard.ts';
import type { Pdk, PdkCall } from './pdk.ts';
import type { Guard } from './presence.ts';
import type { Request } from './request.ts';
import type { Answer } from './self-service.ts';
import type { Session, SessionData } from './session.ts';
import { sessionHeaders } from './told.ts';

/** The calls that carry a decision out, in one batch that ends the event. */
export function carryOut(
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
      return letPass(decision, request, pdk);
    case 'credential':
      return pdk.act([
        ...upstreamCalls(
          BESIDE_CREDENTIAL.beside(
            {
              ...groupHeader(decision.groups),
              ...told(config.requestHeaders, guard, decision),
            },
            request.spoken,
          ),
          decision.rest,
        ),
        ...responseCalls(decision.cookies, told(config.responseHeaders, guard, decision)),
      ]);
    case 'session': {
      const response = responseCalls(
        decision.cookies,
        told(config.responseHeaders, guard, decision),
      );
      const identity = identityCalls(decision, guard, request, pdk);
      // The identity comes last: from there on Kong takes the request for the consumer's.
      return pdk.act(response.length > 0 ? [...response, ...identity] : identity);
    }
  }
}

async function letPass(
  { cookies, rest }: Extract<Decision, { kind: 'nobody' }>,
  request: Request,
  pdk: Pdk,
): Promise<void> {
  const truth = await withoutLies(request);
  await pdk.act([...upstreamCalls(truth, rest), ...responseCalls(cookies, NOTHING)]);
}

/** For whom nobody is signed in, or the anonymous consumer is. */
async function withoutLies(request: Request): Promise<Headers> {
  if (request.isUnclaimed) return NOTHING;
  const clearing = (await request.consumer()) ? FOR_ANONYMOUS : FOR_ANYBODY;
  return clearing.beside(NOTHING, request.spoken);
}

const NOTHING: Headers = {};

type CredentialDecision = Extract<Decision, { kind: 'credential' }>;

const told = (
  names: readonly Told[],
  { config, storage }: Guard,
  { session, idleSince }: Pick<CredentialDecision, 'session' | 'idleSince'>,
): Headers =>
  session === undefined || names.length === 0
    ? NOTHING
    : sessionHeaders(names, session, config.timeouts, storage.now(), idleSince);

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

function upstreamCalls(headers: Headers, rest: string | undefined): PdkCall[] {
  const cookie = rest === undefined ? undefined : { Cookie: rest === '' ? [] : rest };
  const all = { ...headers, ...cookie };
  return Object.keys(all).length > 0 ? [['kong.service.request.set_headers', all]] : [];
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

interface Said {
  readonly consumer: Consumer;
  readonly rest: string | undefined;
  readonly spoken: readonly string[] | undefined;
  readonly byContext: boolean;
  readonly calls: readonly PdkCall[];
}

/**
 * What was last said of the sessions in use, frozen: as long as it is the same it is neither made nor encoded again. Some
 * 2 kB each, more with a long Cookie header, which is not worth it.
 */
const said = new LRUCache<SessionData, Said>({ max: 1000 });
const LONGEST_REST = 512;

/** The calls that make Kong take the request for the session's consumer. */
function identityCalls(
  decision: SessionDecision,
  guard: Guard,
  { spoken }: Request,
  { identityByContext: byContext }: Pdk,
): readonly PdkCall[] {
  const { session, consumer, rest } = decision;
  const headers = told(guard.config.requestHeaders, guard, decision);
  // What is told of time differs from second to second.
  if (headers !== NOTHING || (rest?.length ?? 0) > LONGEST_REST) {
    return makeIdentityCalls(decision, headers, spoken, byContext);
  }
  const last = said.get(session.data);
  if (
    last?.consumer === consumer &&
    last.rest === rest &&
    last.byContext === byContext &&
    areSame(last.spoken, spoken)
  ) {
    return last.calls;
  }
  const made = makeIdentityCalls(decision, headers, spoken, byContext);
  const calls = Object.freeze(made.map((call) => Object.freeze(call)));
  said.set(session.data, { consumer, rest, spoken, byContext, calls });
  return calls;
}

const areSame = (one: Request['spoken'], other: Request['spoken']): boolean =>
  one === other ||
  (one?.length === other?.length && one?.every((name, index) => name === other?.[index]) === true);

const makeIdentityCalls = (
  { session, consumer, rest }: SessionDecision,
  headers: Headers,
  spoken: Request['spoken'],
  byContext: boolean,
): PdkCall[] => [
  ...upstreamCalls(
    FOR_ANYBODY.beside({ ...identityHeaders(session, consumer), ...headers }, spoken),
    rest,
  ),
  ...groupCalls(session),
  ...authentication(session, consumer, byContext),
];

const identityHeaders = ({ credentialId, data }: Session, consumer: Consumer): Headers => ({
  'X-Consumer-ID': consumer.id,
  ...(consumer.customId !== undefined && { 'X-Consumer-Custom-ID': consumer.customId }),
  ...(consumer.username !== undefined && { 'X-Consumer-Username': consumer.username }),
  ...(credentialId !== undefined && { 'X-Credential-Identifier': credentialId }),
  ...groupHeader(data.groups),
});

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
