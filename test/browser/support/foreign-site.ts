import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Scene } from '../../e2e/support/scene.ts';
import { until } from '../../e2e/support/waiting.ts';
import { send } from '../../support/client.ts';

export interface ForeignSite {
  readonly url: string;
  close(): Promise<void>;
}

/** Somebody else's site behind the same Kong, without any plugin: a page of this HTML at every path. */
export async function openForeignSite(
  scene: Scene,
  host: string,
  html: string,
): Promise<ForeignSite> {
  const server = createServer((request, response) => {
    request.resume();
    response.setHeader('Content-Type', 'text/html; charset=utf-8').end(html);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const name = scene.name('foreign');
  await scene.admin.create('/services', { name, url: `http://127.0.0.1:${port}` });
  await scene.admin.create(`/services/${name}/routes`, { name, hosts: [host] });
  await until('the site is there', async () => {
    const { status } = await send(scene.kong.nodes[0], host, { fresh: true });
    return status === 200;
  });
  return {
    url: `https://${host}/`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
