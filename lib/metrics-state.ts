import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Counter, Gauge } from 'prom-client';
import type { CounterConfiguration, GaugeConfiguration, Registry } from 'prom-client';
import { openBackends } from './backend.ts';
import type { Backend } from './backend.ts';
import { openSamples } from './samples.ts';
import { VERSION } from './schema.ts';

/*
 * Numbers that are read when somebody asks. Those of the storage have the label `schema`, which comes from the
 * configuration of Kong: without a database there are none, and nothing to be alarmed about.
 */

/** @returns what ends the measuring */
export function addStateMetrics(registry: Registry): () => void {
  addBackendMetrics(registry);
  addSamples(registry);
  addProcessMetrics(registry);
  return addEventLoopMetric(registry);
}

const addGauge = <T extends string>(registry: Registry, gauge: GaugeConfiguration<T>): Gauge<T> =>
  new Gauge({ ...gauge, registers: [registry] });

const addCounter = <T extends string>(
  registry: Registry,
  counter: CounterConfiguration<T>,
): Counter<T> => new Counter({ ...counter, registers: [registry] });

/** Two databases may have schemas of one name. */
function bySchema(
  read: (backend: Backend) => number,
  join: (one: number, other: number) => number,
): Map<string, number> {
  const values = new Map<string, number>();
  for (const backend of openBackends()) {
    const { schema } = backend.database;
    const value = read(backend);
    const known = values.get(schema);
    values.set(schema, known === undefined ? value : join(known, value));
  }
  return values;
}

const sum = (one: number, other: number): number => one + other;
const least = (one: number, other: number): number => Math.min(one, other);
const most = (one: number, other: number): number => Math.max(one, other);

type Read = (backend: Backend) => number;

function addBackendMetrics(registry: Registry): void {
  const gauge = (name: string, help: string, read: Read, join = sum) =>
    addGauge(registry, {
      name: `session_guard_${name}`,
      help,
      labelNames: ['schema'],
      collect() {
        this.reset();
        for (const [schema, value] of bySchema(read, join)) this.set({ schema }, value);
      },
    });
  const counter = (name: string, help: string, read: Read) =>
    addCounter(registry, {
      name: `session_guard_${name}`,
      help,
      labelNames: ['schema'],
      collect() {
        this.reset();
        for (const [schema, value] of bySchema(read, sum)) this.inc({ schema }, value);
      },
    });
  counter('cache_hits', 'Looks into the cache that it answered.', ({ sessions, cutOffs }) => {
    return sessions.hits + cutOffs.hits;
  });
  counter('cache_misses', 'Looks into the cache that it did not.', ({ sessions, cutOffs }) => {
    return sessions.misses + cutOffs.misses;
  });
  gauge('cache_entries', 'What the cache holds.', ({ sessions, cutOffs }) => {
    return sessions.size + cutOffs.size;
  });
  counter(
    'revocations_received_total',
    'Notices of ended sessions, those of this node among them.',
    (backend) => backend.revocationsReceived,
  );
  gauge(
    'bus_connected',
    '1 while it is proven that notices of other nodes arrive.',
    ({ bus }) => Number(bus.isHealthy),
    least,
  );
  counter('bus_reconnects_total', 'Times the listener came back.', ({ bus }) => bus.reconnects);
  gauge(
    'bus_lag_seconds',
    'Time of the last heartbeat: a notice takes no longer.',
    ({ bus }) => bus.lag / 1000,
    most,
  );
  gauge('pool_size', 'Connections at most.', ({ database }) => database.pool.size);
  addGauge(registry, {
    name: 'session_guard_pool_connections',
    help: 'Connections by state, and statements that wait for one.',
    labelNames: ['schema', 'state'],
    collect() {
      this.reset();
      for (const state of ['busy', 'idle', 'waiting'] as const) {
        const values = bySchema(({ database }) => database.pool[state], sum);
        for (const [schema, value] of values) this.set({ schema, state }, value);
      }
    },
  });
}

function addSamples(registry: Registry): void {
  const sample = openSamples();
  const gauge = (name: string, help: string, field: 'active' | 'pruneLag') =>
    addGauge(registry, {
      name: `session_guard_${name}`,
      help,
      labelNames: ['schema'],
      async collect() {
        const samples = await sample();
        this.reset();
        for (const { schema, ...values } of samples) this.set({ schema }, values[field]);
      },
    });
  gauge('sessions_active', 'Sign-ins that are alive, counted at most once a minute.', 'active');
  gauge(
    'prune_lag_seconds',
    'How long the oldest expired row has been waiting to be deleted, as of that count.',
    'pruneLag',
  );
}

function addProcessMetrics(registry: Registry): void {
  addGauge(registry, {
    name: 'session_guard_build_info',
    help: 'Always 1; the labels tell the versions.',
    labelNames: ['version', 'node'],
  }).set({ version: VERSION, node: process.versions.node }, 1);
  addGauge(registry, {
    name: 'process_start_time_seconds',
    help: 'When the process started, in seconds since the epoch.',
  }).set(performance.timeOrigin / 1000);
  addGauge(registry, {
    name: 'process_resident_memory_bytes',
    help: 'Memory in use.',
    collect() {
      this.set(process.memoryUsage.rss());
    },
  });
  addCounter(registry, {
    name: 'process_cpu_seconds_total',
    help: 'Processor time spent.',
    collect() {
      const { user, system } = process.cpuUsage();
      this.reset();
      this.inc((user + system) / 1e6);
    },
  });
}

/** Milliseconds between two looks at the clock; what comes later than that is lag. */
const RESOLUTION = 10;
const QUANTILES = { '0.5': 50, '0.99': 99, '1': 100 } as const;

function addEventLoopMetric(registry: Registry): () => void {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION });
  delay.enable();
  addGauge(registry, {
    name: 'session_guard_event_loop_lag_seconds',
    help: 'How much later than planned timers ran since the last scrape.',
    labelNames: ['quantile'],
    collect() {
      for (const [quantile, percent] of Object.entries(QUANTILES)) {
        const seconds = delay.percentile(percent) / 1e9 - RESOLUTION / 1000;
        this.set({ quantile }, Math.max(0, seconds));
      }
      delay.reset();
    },
  });
  return () => void delay.disable();
}
