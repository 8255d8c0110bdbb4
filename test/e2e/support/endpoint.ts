import type { Gateway } from '../../support/gateway/index.ts';
import { Scrape } from '../../support/scrape.ts';
import { until } from './waiting.ts';

/** Where the plugin server behind a stand-in tells its metrics, as it says in the log. */
export const endpointOf = ({ log }: Gateway): Promise<string> =>
  until('the endpoint', async () => {
    const line = log.findLast((candidate) => candidate.includes('"event":"endpoint"'));
    return line && (/"url":"([^"]+)"/.exec(line)?.[1] ?? undefined);
  });

export const scrape = async (url: string): Promise<Scrape> =>
  new Scrape(await (await fetch(`${url}/metrics`)).text());
