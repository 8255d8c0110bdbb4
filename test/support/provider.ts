import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Page } from './markdown.ts';

const MODULES = fileURLToPath(new URL('../../node_modules/@opentelemetry', import.meta.url));

export interface Span {
  readonly name: string;
  readonly kind: number;
  readonly id: string;
  readonly trace: string;
  readonly parent?: string;
  readonly status: number;
  readonly attributes: Readonly<Record<string, unknown>>;
  /** Milliseconds since the epoch. */
  readonly start: number;
  readonly end: number;
}

const EXPORTER = `
const { appendFileSync } = require('node:fs');
const ms = ([seconds, nanos]) => seconds * 1000 + nanos / 1e6;
exports.OTLPTraceExporter = class {
  export(spans, done) {
    for (const span of spans) {
      const { spanId: id, traceId: trace } = span.spanContext();
      appendFileSync(__dirname + '/spans', JSON.stringify({
        name: span.name, kind: span.kind, id, trace, parent: span.parentSpanContext?.spanId,
        status: span.status.code, attributes: span.attributes, start: ms(span.startTime), end: ms(span.endTime),
      }) + '\\n');
    }
    done({ code: 0 });
  }
  shutdown() {}
};`;

/** The provider of docs/watching.md, whose exporter writes to a file in the place of the network. */
export class Provider {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** A folder with the module of the page, and the packages it names. */
  static async open(): Promise<Provider> {
    const provider = new Provider(await mkdtemp(join(tmpdir(), 'session-guard-spans-')));
    const exporter = provider.#exporter;
    await mkdir(exporter, { recursive: true });
    for (const name of ['api', 'sdk-trace-base']) {
      await symlink(join(MODULES, name), join(exporter, '..', name));
    }
    await writeFile(join(exporter, 'index.js'), EXPORTER);
    const [module = ''] = new Page('docs/watching.md').blocks('js');
    await writeFile(provider.module, module);
    return provider;
  }

  /** For `--require`. */
  get module(): string {
    return join(this.#folder, 'otel.cjs');
  }

  get #exporter(): string {
    return join(this.#folder, 'node_modules/@opentelemetry/exporter-trace-otlp-http');
  }

  /** What has been exported by now. */
  async spans(): Promise<Span[]> {
    const text = await readFile(join(this.#exporter, 'spans'), 'utf8').catch(() => '');
    const lines = text.split('\n').filter(Boolean);
    return lines.map((line) => JSON.parse(line) as Span);
  }

  close(): Promise<void> {
    return rm(this.#folder, { recursive: true });
  }
}

/** Whether it is the span of a request. */
export const isRequest = ({ name }: Span): boolean => name === 'session-guard access';
