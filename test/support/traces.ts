/**
 * Conversations recorded from a real Kong 3.9.1, in the repository: `*.jsonl` over MessagePack, `protobuf/*.jsonl`
 * over ProtoBuf, `admin-api/*.json`. test/traces/README.md has their format.
 */
export const TRACES = new URL('../traces/', import.meta.url);
