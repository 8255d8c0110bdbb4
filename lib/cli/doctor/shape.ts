/** Columns of the tables and of their indexes, as the migrations leave them. */
export const COLUMNS: Readonly<Record<string, readonly string[]>> = {
  sessions: [
    'key',
    'handle',
    'family',
    'kind',
    'generation',
    'consumer_id',
    'credential_id',
    'audience',
    'realm',
    'subject',
    'data',
    'authenticated_at',
    'started_at',
    'renewed_at',
    'seen_at',
    'previous_renewed_at',
    'confirmed_at',
    'expires_at',
  ],
  cutoffs: ['kind', 'target', 'ended_before', 'expires_at'],
};

export const INDEXES: readonly string[] = [
  'cutoffs(expires_at)',
  'cutoffs(kind,target)',
  'sessions(consumer_id)',
  'sessions(expires_at)',
  'sessions(family)',
  'sessions(handle)',
  'sessions(key)',
];
