import type { Log } from '../log.ts';
import type { RunningServer } from './index.ts';

const WATCH_MS = 1000;

export interface LifecycleOptions {
  readonly log: Log;
  /**
   * The process that started us, if we end with it: Kong leaves its child behind when a worker
   * crashes.
   */
  readonly parent: number | undefined;
}

/** From here on nothing that goes wrong is survived: Kong starts a new process within a second. */
export function dieOfErrors(log: Log): void {
  const die = (event: string) => (err: unknown) => {
    log.fatal({ event, err }, 'stopped by an error');
    process.exit(1);
  };
  process.on('uncaughtException', die('uncaught-exception'));
  process.on('unhandledRejection', die('unhandled-rejection'));
}

/**
 * Ends the process, after a drain, at a signal or when the server has lost its socket or its
 * parent.
 */
export function endWhenDone(server: RunningServer, { log, parent }: LifecycleOptions): void {
  let isStopping = false;
  let isHastened = false;
  const stop = (reason: string, code: number) => {
    if (isStopping) return;
    isStopping = true;
    log.info({ event: 'stopping', reason }, 'stopping');
    void server.drain().then(() => {
      log.info({ event: 'stopped' }, 'stopped');
      process.exit(code);
    });
  };
  const stopSoon = (reason: string, code: number) => {
    isHastened = true;
    server.hasten();
    stop(reason, code);
  };
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    // The second one is somebody who does not want to wait.
    process.on(signal, () => (isHastened ? process.exit(1) : stopSoon(signal, 0)));
  }
  const watch = setInterval(() => {
    const status = server.socketFile.status();
    if (status === 'taken') stop('another server has taken the socket', 0);
    // Whoever supervises us starts a process that binds the path again.
    else if (status === 'missing') stopSoon('the socket was removed', 1);
    else if (parent !== undefined && process.ppid !== parent) {
      stopSoon('the parent process has ended', 0);
    }
  }, WATCH_MS);
  watch.unref();
}
