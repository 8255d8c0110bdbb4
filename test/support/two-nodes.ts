import { createTables, openNode, type TestNode, untilTrusted } from './nodes.ts';
import { startPostgres } from './postgres.ts';
import { Table } from './table.ts';

/** A database of its own with two nodes on it, and a connection that looks into its table. */
export interface TwoNodes {
  readonly url: string;
  readonly node: TestNode;
  readonly other: TestNode;
  readonly table: Table;
  close(): Promise<void>;
}

/** @param cacheTtl milliseconds; 0 = both nodes always ask, otherwise both trust what they remember */
export async function openTwoNodes(cacheTtl: number): Promise<TwoNodes> {
  const postgres = await startPostgres();
  const url = await postgres.newDatabase();
  await createTables(url);
  const [node, other] = [openNode(url, { cacheTtl }), openNode(url, { cacheTtl })];
  const prepare = (one: TestNode) =>
    cacheTtl === 0 ? one.backend.readiness.ready() : untilTrusted(one);
  await Promise.all([prepare(node), prepare(other)]);
  const table = await Table.open(url);
  const close = async (): Promise<void> => {
    await table.close();
    await Promise.all([node.close(), other.close()]);
    await postgres.stop();
  };
  return { url, node, other, table, close };
}
