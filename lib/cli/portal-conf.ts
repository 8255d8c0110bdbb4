import { convert } from './bundled/convert.ts';
import type { Conversion } from './bundled/convert.ts';
import { emit, FORMATS, pluginsOf } from './bundled/emit.ts';
import type { Format, Plugin } from './bundled/emit.ts';
import { describe } from './bundled/report.ts';
import { findConfigurations } from './bundled/sources.ts';
import { CliError, EXIT, parse, usageError } from './command.ts';
import type { Command, Io } from './command.ts';
import { json, painter } from './format.ts';
import { readText } from './input.ts';

const help = `session-guard portal-conf [<file> | -] [--output <format>] [--json]

Translates what configures Kong's bundled session plugin for session-guard: a portal_session_conf, also in the form
in which the documentation prints it, the configuration of a plugin or the Admin API's list of plugins (JSON), kong.yml
or decK's files, KongPlugin resources. Says what becomes of every field and what to look out for. Secrets are never
printed: vault references stand for them.

  --output <format>       ${FORMATS.join(', ')}: print this alone, the report goes to stderr; all: both (all)
  --json                  the report and all formats

Exit code 3: the input has no session plugin. 1: one of its configurations has no equivalent.
`;

export const command: Command = {
  help,
  async run(argv, io) {
    const { values, positionals } = parse(
      argv,
      { output: { type: 'string', default: 'all' }, json: { type: 'boolean', default: false } },
      1,
    );
    const formats = formatsOf(values.output);
    const path = positionals[0] ?? '-';
    const text = await readText(path, io, path === '-' ? 'standard input' : 'the file');
    const conversions = findConfigurations(text).map(convert);
    if (conversions.length === 0) {
      throw new CliError('the input configures no session plugin', EXIT.nothing);
    }
    const plugins = pluginsOf(conversions);
    if (values.json) io.stdout.write(json(toJson(conversions, plugins)));
    else print(conversions, plugins, formats, io);
    return plugins.length < conversions.length ? EXIT.failed : EXIT.done;
  },
};

function formatsOf(output: string): readonly Format[] {
  const found = output === 'all' ? FORMATS : FORMATS.filter((format) => format === output);
  if (found.length === 0) throw usageError(`--output must be one of ${FORMATS.join(', ')}, all`);
  return found;
}

const TITLES: Record<Format, string> = {
  'admin-api': 'Admin API',
  yaml: 'Declarative configuration (kong.yml, decK)',
  kongplugin: 'Kubernetes',
};

function print(
  conversions: readonly Conversion[],
  plugins: readonly Plugin[],
  formats: readonly Format[],
  io: Io,
): void {
  const isAlone = formats.length === 1;
  const paint = painter(isAlone ? io.stderr : io.stdout, io.env);
  const report = conversions.map((conversion) => describe(conversion, paint)).join('\n');
  (isAlone ? io.stderr : io.stdout).write(report);
  if (plugins.length === 0) return;
  for (const format of formats) {
    const title = isAlone ? '' : `\n${paint('bold', TITLES[format])}\n\n`;
    io.stdout.write(`${title}${emit(format, plugins)}`);
  }
}

const toJson = (conversions: readonly Conversion[], plugins: readonly Plugin[]) => ({
  configurations: conversions.map(({ found, fields, findings, config }) => ({
    where: found.where,
    scope: found.scope,
    fields,
    findings,
    config: config ?? null,
  })),
  output: Object.fromEntries(FORMATS.map((format) => [format, emit(format, plugins)])),
});
