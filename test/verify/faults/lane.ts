import { Client } from 'pg';
import { SessionGuard } from '../../../lib/instance.ts';
import { createLog } from '../../../lib/log.ts';
import { plugin } from '../../../lib/plugin.ts';
import { serve } from '../../../lib/server/index.ts';
import { Cleanup } from '../../e2e/support/cleanup.ts';
import { FaultyPdk, type PdkFault } from '../../support/chaos/pdk.ts';
import { type Protocol, Stage } from '../../support/chaos/stage.ts';
import { type StatementFault, StatementProxy } from '../../support/chaos/statements.ts';
import { Wire, type WireFault } from '../../support/chaos/wire.ts';
import type { Postgres } from '../../support/postgres.ts';

export const STORAGES = ['kong', 'cookie'] as const;
export type Storage = (typeof STORAGES)[number];

/** What happens at which of the places that a request comes past, counted from 0. */
export type Fault =
  | {
      readonly place: 'call';
      readonly at: number;
      readonly kind: PdkFault;
      readonly garbage: unknown;
    }
  | { readonly place: 'statement'; readonly at: number; readonly kind: StatementFault }
  | { readonly place: 'message'; readonly at: number; readonly kind: WireFault };

/** The places that one request came past. */
export interface Places {
  readonly calls: readonly string[];
  readonly statements: readonly string[];
  readonly messages: number;
}

export interface LaneOptions {
  readonly postgres: Postgres;
  readonly protocol: Protocol;
  readonly storage: Storage;
  /**
   * `handler`: the server runs in this process and the handler's calls are broken; `process`: it is the real one, and the
   * socket to it is broken. In both the statements are.
   */
  readonly server: 'handler' | 'process';
}

/** Milliseconds. The handler's own deadline, and the server's for the handler; both short for 5000 and 6000. */
const HANDLER_DEADLINE = 1200;
const SERVER_DEADLINE = 1500;
/** Seconds that the store may take; its answer is given up 250 ms later. */
const STORE_DEADLINE = 0.4;
/** After this nobody waits for a statement any more, in milliseconds. */
const LATE = 2500;
/** Kong's own patience, short for 60 s. */
const READ_TIMEOUT = 2000;

/** A Kong, a plugin server and a database of their own, with something that can break between any two of them. */
export class Lane {
  readonly options: LaneOptions;
  readonly stage: Stage;
  readonly sql: Client;
  /** The configuration of the plugin as Kong has it. */
  readonly secret: string;
  readonly #statements: StatementProxy;
  readonly #wire: Wire | undefined;
  readonly #handler: HandlerFaults;
  readonly #cleanup: Cleanup;

  private constructor(
    options: LaneOptions,
    parts: { stage: Stage; sql: Client; statements: StatementProxy; wire: Wire | undefined },
    handler: HandlerFaults,
    cleanup: Cleanup,
  ) {
    this.options = options;
    this.stage = parts.stage;
    this.sql = parts.sql;
    this.#statements = parts.statements;
    this.#wire = parts.wire;
    this.#handler = handler;
    this.#cleanup = cleanup;
    this.secret = (parts.stage.plugin['config'] as { secret: string }).secret;
  }

  static open(options: LaneOptions): Promise<Lane> {
    const { postgres, protocol, storage } = options;
    const cleanup = new Cleanup();
    return cleanup.around(async () => {
      const url = await postgres.newDatabase();
      const sql = new Client({ connectionString: url });
      await sql.connect();
      cleanup.defer(() => sql.end());
      const statements = await StatementProxy.open(url, LATE);
      cleanup.defer(() => statements.close());
      const handler: HandlerFaults = { fault: undefined, pdk: undefined };
      let wire: Wire | undefined;
      const config = {
        storage,
        cache_ttl: 0,
        remember: true,
        postgres: {
          url: statements.through(url),
          connect_timeout: STORE_DEADLINE,
          statement_timeout: STORE_DEADLINE,
        },
      };
      const between = async (socketPath: string): Promise<string> => {
        const path = `${socketPath}.wire`;
        wire = await Wire.open(path, socketPath);
        cleanup.defer(() => wire?.close() ?? Promise.resolve());
        return path;
      };
      const stage = await Stage.open({
        protocol,
        config,
        gateway: { readTimeoutMs: READ_TIMEOUT },
        ...(options.server === 'process' ? { between } : { serve: serveBroken(handler) }),
      });
      cleanup.defer(() => stage.close());
      return new Lane(options, { stage, sql, statements, wire }, handler, cleanup);
    });
  }

  close(): Promise<void> {
    return this.#cleanup.run();
  }

  get name(): string {
    const { server, storage, protocol } = this.options;
    return `${server}, ${storage}, ${protocol}`;
  }

  /** The next request meets the fault, or none. */
  arm(fault?: Fault): void {
    this.#handler.fault = fault?.place === 'call' ? fault : undefined;
    this.#handler.pdk = undefined;
    if (fault?.place === 'statement') this.#statements.watch(fault.at, fault.kind);
    else this.#statements.watch();
    if (fault?.place === 'message') this.#wire?.watch(fault.at, fault.kind);
    else this.#wire?.watch();
  }

  /** What the request since `arm` came past. */
  places(): Places {
    return {
      calls: this.#handler.pdk?.calls ?? [],
      statements: this.#statements.seen,
      messages: this.#wire?.passed ?? 0,
    };
  }
}

interface HandlerFaults {
  fault: Extract<Fault, { place: 'call' }> | undefined;
  /** Of the first request since the fault was set. */
  pdk: FaultyPdk | undefined;
}

/** The real server and the real plugin; only what the handler asks of Kong goes through something that breaks. */
const serveBroken = (handler: HandlerFaults) => async (socket: string) => {
  const server = await serve({
    socket,
    coalesce: 0,
    log: createLog('silent'),
    deadline: SERVER_DEADLINE,
    plugin: {
      ...plugin,
      create(config) {
        const guard = new SessionGuard(config, HANDLER_DEADLINE);
        return {
          access(pdk) {
            if (handler.pdk) return guard.access(pdk);
            const { fault } = handler;
            handler.pdk = new FaultyPdk(pdk, fault && { ...fault, fault: fault.kind });
            return guard.access(handler.pdk);
          },
        };
      },
      // The lanes of this process share what it would close.
      close: () => Promise.resolve(),
    },
  });
  server.hasten();
  return () => server.drain();
};
