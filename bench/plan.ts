/** What a request is. */
export const SCENARIOS = ['valid', 'cold', 'renewal', 'login', 'invalid', 'anonymous'] as const;
export type Scenario = (typeof SCENARIOS)[number];

export const STORAGES = ['kong', 'cookie'] as const;
export type StorageName = (typeof STORAGES)[number];

/** Who serves it. */
export const PEERS = [
  'none',
  'noop',
  'protobuf',
  'msgpack',
  'stock',
  'naive',
  'guard',
  'bundled',
] as const;
export type PeerName = (typeof PEERS)[number];

export const TITLES: Readonly<Record<PeerName, string>> = {
  none: 'key-auth only',
  noop: 'plugin without a call, ProtoBuf',
  protobuf: 'session-guard, ProtoBuf',
  msgpack: 'session-guard, MessagePack',
  stock: 'session-guard, stock kong-pdk',
  naive: 'naive plugin, stock kong-pdk',
  guard: 'session-guard',
  bundled: "Kong's session plugin",
};

/** One thing that is measured. */
export interface Cell {
  readonly peer: PeerName;
  readonly storage: StorageName;
  readonly scenario: Scenario;
}

type Part = Readonly<Partial<Record<StorageName, readonly Scenario[]>>>;

/** The stand-in's: what a peer does at all, and storage `cookie` where it makes a difference. */
const STAND_IN: Readonly<Partial<Record<PeerName, Part>>> = {
  none: { kong: ['valid', 'login', 'anonymous'] },
  noop: { kong: ['valid', 'login', 'anonymous'] },
  protobuf: { kong: SCENARIOS, cookie: ['valid', 'cold', 'renewal', 'login'] },
  msgpack: { kong: SCENARIOS },
  stock: { kong: SCENARIOS },
  naive: { kong: ['valid', 'invalid'] },
};

/** A real Kong's: its own plugin renews at its own time, and knows no difference between warm and cold. */
const REAL: Readonly<Partial<Record<PeerName, Part>>> = {
  none: { kong: ['valid', 'login', 'anonymous'] },
  guard: { kong: SCENARIOS, cookie: ['valid', 'cold', 'renewal', 'login', 'invalid'] },
  bundled: {
    kong: ['valid', 'login', 'invalid', 'anonymous'],
    cookie: ['valid', 'login', 'invalid'],
  },
};

/**
 * The cells, those of a scenario and storage side by side.
 * @param only names of peers, scenarios and storages; of each sort that is named, only those
 */
export function cellsOf(isRealKong: boolean, only: readonly string[] = []): Cell[] {
  const isWanted = (names: readonly string[], name: string): boolean =>
    only.includes(name) || !names.some((other) => only.includes(other));
  const plan = isRealKong ? REAL : STAND_IN;
  const cells: Cell[] = [];
  for (const scenario of SCENARIOS.filter((name) => isWanted(SCENARIOS, name))) {
    for (const storage of STORAGES.filter((name) => isWanted(STORAGES, name))) {
      for (const peer of PEERS.filter((name) => isWanted(PEERS, name))) {
        if (plan[peer]?.[storage]?.includes(scenario)) cells.push({ peer, storage, scenario });
      }
    }
  }
  return cells;
}

/** Every request needs a cookie that was not used before. */
export const isSingleUse = ({ scenario }: Cell): boolean =>
  scenario === 'cold' || scenario === 'renewal';

/** Whether the peer is session-guard: it begins and renews sessions. */
export const isGuard = (peer: PeerName): boolean =>
  peer === 'protobuf' || peer === 'msgpack' || peer === 'stock' || peer === 'guard';

/** Whether the upstream is to see the user, not the anonymous consumer. */
export const isSignedIn = ({ peer, scenario }: Cell): boolean => {
  if (scenario === 'login') return true;
  return scenario !== 'invalid' && scenario !== 'anonymous' && peer !== 'none' && peer !== 'noop';
};
