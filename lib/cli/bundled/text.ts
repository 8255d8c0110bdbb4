import { parseAllDocuments } from 'yaml';
import { CliError } from '../command.ts';
import { parseLenientJson, SyntaxProblem } from './lenient-json.ts';

/** A value out of the input and what to call it. */
export interface Document {
  readonly name: string;
  readonly value: unknown;
}

/** The setting in kong.conf, as a variable of the environment, or in front of the documentation's examples. */
const ASSIGNMENT =
  /^[ \t]*(?:-[ \t]+)?(?:export[ \t]+)?(?:KONG_)?((?:PORTAL|ADMIN_GUI)_SESSION_CONF)[ \t]*[=:]\s*["'\u2018\u201c]?(?=\s*\{)/im;

/** JSON, perhaps behind a `=` or in the quotes of a shell. */
const JSON_START = /^\s*=?\s*["'\u2018\u201c]?(?=\s*[{[])/;

/**
 * What a text says, be it a `portal_session_conf`, JSON as it should be or as documentation prints it, or YAML.
 * @throws CliError, which tells the place and never repeats the text
 */
export function readDocuments(text: string): Document[] {
  const assignment = ASSIGNMENT.exec(text);
  if (assignment) {
    const [before, name = ''] = assignment;
    return [{ name: name.toLowerCase(), value: lenient(text, assignment.index + before.length) }];
  }
  if (text.trim() === '') throw new CliError('the input is empty');
  const values = JSON_START.test(text) ? [jsonValue(text)] : yamlValues(text);
  return values.map((value) => ({ name: 'portal_session_conf', value }));
}

function jsonValue(text: string): unknown {
  const [before = ''] = JSON_START.exec(text) ?? [];
  try {
    // JSON.parse knows no byte order mark.
    const value = JSON.parse(text.replace(/^\ufeff/, '')) as unknown;
    return typeof value === 'string' ? lenient(value, 0) : value;
  } catch (error) {
    if (error instanceof CliError) throw error;
    return lenient(text, before.length, before.trim() !== '');
  }
}

function lenient(text: string, from: number, endsAnywhere = true): unknown {
  // Inside double quotes of a shell or of YAML the quotes are escaped.
  const isEscaped = /^\s*\{\s*\\"/.test(text.slice(from));
  const plain = isEscaped ? text.replaceAll('\\"', '"') : text;
  try {
    return parseLenientJson(plain, isEscaped ? plain.indexOf('{', from) : from, endsAnywhere);
  } catch (error) {
    if (error instanceof SyntaxProblem) throw new CliError(`not understood: ${error.message}`);
    throw error;
  }
}

/** Kong and decK read YAML 1.1, in which `off` and `no` are false. */
function yamlValues(text: string): unknown[] {
  const documents = parseAllDocuments(text, {
    version: '1.1',
    merge: true,
    prettyErrors: false,
    uniqueKeys: false,
    logLevel: 'silent',
  });
  return [...documents].map((document) => {
    const [error] = document.errors;
    if (error) {
      const { message } = new SyntaxProblem(error.code, text, error.pos[0]);
      throw new CliError(`not understood: ${message}`);
    }
    try {
      return document.toJS({ maxAliasCount: 1000 }) as unknown;
    } catch {
      throw new CliError('not understood: the YAML has too many aliases or one that leads nowhere');
    }
  });
}
