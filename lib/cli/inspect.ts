import { findOwnCookies } from '../cookie.ts';
import { KeyRing } from '../keys.ts';
import type { Purpose } from '../keys.ts';
import { TokenCodec } from '../token.ts';
import type { Entry, Token } from '../token.ts';
import { CliError, EXIT, parse, usageError } from './command.ts';
import type { Command } from './command.ts';
import { isoTime, json, painter, record } from './format.ts';
import type { Paint } from './format.ts';
import { readText, requireSecrets, SECRET_HELP, SECRET_OPTIONS } from './input.ts';
import { personOf, toText } from './person.ts';

const help = `session-guard inspect [options] < cookie

Explains a cookie of session-guard: reads its value, \`name=value\` or a whole Cookie header from standard input, opens
it with the secret and says what is in it. The id that authenticates is never shown. Exit code 3: it does not open.

  --cookie-name <name>    cookie_name, with its prefix (session, or as in the input)
  --session-name <name>   of a persistent cookie: that of the session cookie beside it (session, or any in the input)
  --schema <name>         schema of the tables (session_guard)
  --json
${SECRET_HELP}`;

/** A value that has the outer form of a token, whoever made it. */
interface Candidate {
  readonly name: string;
  /** Names that the session cookie beside a persistent one may have. */
  readonly beside: readonly string[];
  readonly value: string;
  readonly header: Header;
}

interface Header {
  readonly alg: string;
  readonly enc: string;
  readonly kid: string;
  readonly typ: string;
}

interface Opened {
  readonly realm: string;
  readonly token: Token;
}

export const command: Command = {
  help,
  async run(argv, io) {
    const { values } = parse(argv, {
      ...SECRET_OPTIONS,
      'cookie-name': { type: 'string' },
      'session-name': { type: 'string' },
      schema: { type: 'string', default: 'session_guard' },
      json: { type: 'boolean', default: false },
    });
    if (values['secret-file']?.includes('-')) {
      throw usageError('--secret-file cannot be -: standard input is for the cookie');
    }
    const secrets = await requireSecrets(values, io);
    const input = (await readText('-', io, 'standard input')).trim();
    const candidates = candidatesIn(input, values['cookie-name'], values['session-name']);
    if (candidates.length === 0) {
      throw new CliError('the input holds no cookie of session-guard', EXIT.nothing);
    }
    const reports = await Promise.all(
      candidates.map(async (candidate) => {
        const opened = await open(candidate, secrets, values.schema);
        return explain(candidate, opened);
      }),
    );
    const paint = painter(io.stdout, io.env);
    io.stdout.write(
      values.json
        ? json({ cookies: reports })
        : reports.map((report) => asText(report, paint)).join('\n'),
    );
    return reports.every(({ opens }) => opens) ? EXIT.done : EXIT.nothing;
  },
};

/** Every cookie of the given name, or of any name where none is given, whose value looks like a token. */
function candidatesIn(
  input: string,
  name: string | undefined,
  session: string | undefined,
): Candidate[] {
  const isHeader = input.includes('=');
  const header = isHeader ? input.replace(/^cookie:\s*/i, '') : `${name ?? 'session'}=${input}`;
  const names = name === undefined ? namesIn(header) : [name];
  const beside = session === undefined ? ['session', ...namesIn(header)] : [session];
  return names.flatMap((own) => {
    const { values } = findOwnCookies(header, own, (value) => headerOf(value) !== undefined);
    return values.map((value) => ({ name: own, beside, value, header: headerOf(value) as Header }));
  });
}

const namesIn = (header: string): string[] => [
  ...new Set(
    header.split(';').map((pair) => pair.slice(0, Math.max(0, pair.indexOf('='))).trimStart()),
  ),
];

function headerOf(value: string): Header | undefined {
  const [first, ...parts] = value.split('.');
  if (parts.length !== 4) return undefined;
  try {
    const header = JSON.parse(Buffer.from(first ?? '', 'base64url').toString()) as Header;
    const { alg, enc, kid, typ } = header;
    const isComplete = [alg, enc, kid, typ].every((field) => typeof field === 'string');
    return isComplete && typ.startsWith('sg-') ? { alg, enc, kid, typ } : undefined;
  } catch {
    return undefined;
  }
}

/** Nobody told us the storage, so each is tried: a wrong one opens nothing. */
async function open(
  { name, beside, value, header }: Candidate,
  secrets: readonly [string, ...string[]],
  schema: string,
): Promise<Opened | undefined> {
  const purpose: Purpose = header.typ === 'sg-remember' ? 'remember' : 'session';
  const names = purpose === 'session' ? [name] : beside.map((session) => `${name} ${session}`);
  const storages = [`kong ${schema}`, 'cookie ', `cookie ${schema}`];
  for (const realm of names.flatMap((cookie) =>
    storages.map((storage) => `${cookie} ${storage}`),
  )) {
    const codec = new TokenCodec(new KeyRing(secrets, realm, 0), purpose);
    const token = await codec.open(value, Date.now());
    if (token) return { realm, token };
  }
  return undefined;
}

interface Report {
  readonly opens: boolean;
  readonly [field: string]: unknown;
}

function explain({ name, value, header }: Candidate, opened: Opened | undefined): Report {
  const day = Number(header.kid.split('.')[1]);
  const outside = {
    cookie: name,
    octets: value.length,
    ...header,
    sealed_on: isoTime(day * 86_400_000)?.slice(0, 10) ?? null,
  };
  if (opened === undefined) {
    const problem =
      'does not open: another secret, another cookie name or schema, or not as it was sealed';
    return { opens: false, ...outside, problem };
  }
  const storage = opened.realm.split(' ').at(-2);
  return {
    opens: true,
    ...outside,
    sealed_under: opened.token.isFallback ? 'a fallback' : 'the main secret',
    storage,
    entries: opened.token.entries.map(explainEntry),
  };
}

/** Everything but the id. */
function explainEntry({ audience, generation, content }: Entry): object {
  if (content === undefined) return { audience, generation };
  return {
    audience,
    handle: content.handle,
    family: content.family,
    consumer_id: toText(content.consumerId),
    credential_id: content.credentialId === undefined ? null : toText(content.credentialId),
    subject: content.subject === undefined ? null : toText(content.subject),
    authenticated_at: isoTime(content.authenticatedAt) ?? null,
    renewed_at: isoTime(content.renewedAt) ?? null,
    seen_at: isoTime(content.seenAt) ?? null,
    ...personOf(content.data),
  };
}

function asText({ entries, ...outside }: Report, paint: Paint): string {
  const blocks = [outside, ...((entries ?? []) as object[])];
  return blocks
    .map((block) =>
      record(
        Object.entries(block).map(([name, value]) => [name.replaceAll('_', ' '), textOf(value)]),
        paint,
      ),
    )
    .join('\n');
}

function textOf(value: unknown): string {
  if (Array.isArray(value)) return value.join(', ');
  return typeof value === 'string' ? value : value === null ? '-' : JSON.stringify(value);
}
