import { openEndpoint } from '../../lib/endpoint/index.ts';
import { createLog } from '../../lib/log.ts';
import { until } from './nodes.ts';

export interface TestEndpoint {
  readonly url: string;
  close(): Promise<void>;
}

/** An endpoint in this process, on a free port of loopback. `env` as the plugin server has it. */
export async function openTestEndpoint(
  env: Readonly<Record<string, string>> = {},
): Promise<TestEndpoint> {
  let url: string | undefined;
  const write = (line: string) => {
    url ??= (JSON.parse(line) as { url?: string }).url;
  };
  const endpoint = openEndpoint(
    {
      address: { host: '127.0.0.1', port: 0 },
      metricsTokenFile: undefined,
      consoleTokenFile: undefined,
    },
    env,
    createLog('debug', { write }),
  );
  if (endpoint === undefined) throw new Error('the endpoint was refused');
  await until(() => url);
  return { url: url ?? '', close: () => endpoint.close() };
}
