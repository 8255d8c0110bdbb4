import type { Conversation } from '../test/support/gateway/recorder.ts';
import type { PeerName, StorageName } from './plan.ts';
import type { Probe } from './probe.ts';

/** Where a peer's requests go, and the processes that they cost. */
export interface Target {
  readonly proxyUrl: string;
  readonly hosts: Readonly<Partial<Record<StorageName, string>>>;
  /** Of the gateway: several where Kong has several workers. */
  readonly gatewayPids: readonly number[];
  readonly serverPid: number | undefined;
  readonly probe: Probe | undefined;
  /** What was said for a request; a real Kong keeps no record of it. */
  readonly conversation: ((requestId: string) => Promise<Conversation | undefined>) | undefined;
}

export type Targets = Readonly<Partial<Record<PeerName, Target>>>;
