import { readFile } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';
import { build, type BuildOptions, type Plugin } from 'esbuild';

/** A source as it would be if it had another text. */
export interface Changed {
  /** Absolute. */
  readonly path: string;
  readonly text: string;
}

/** Bundles for Node what is ours; each source knows where it really is, and packages stay where they are. */
export const bundle = (options: BuildOptions, changed?: Changed) =>
  build({
    bundle: true,
    platform: 'node',
    format: 'esm',
    logLevel: 'silent',
    plugins: [sources(changed)],
    ...options,
  });

const sources = (changed: Changed | undefined): Plugin => ({
  name: 'sources',
  setup(bundler) {
    bundler.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
      const text = path === changed?.path ? changed.text : await readFile(path, 'utf8');
      const url = JSON.stringify(pathToFileURL(path).href);
      return { contents: text.replaceAll(/\bimport\.meta\.url\b/g, url), loader: 'ts' };
    });
    bundler.onResolve({ filter: /^[^.]/ }, ({ path }) =>
      path.startsWith('/') ? undefined : { path, external: true },
    );
  },
});
