import { PROTOCOLS } from '../support/chaos/stage.ts';
import { type Figure, main, type Program } from './program.ts';
import { rotate } from './rotation-rounds.ts';
import { openWorld } from './rotation-world.ts';

export const program: Program = {
  name: 'rotation',
  claim:
    'Secrets that are replaced node by node under load sign nobody out, and a secret that is gone opens nothing.',
  counts: 'times, over each protocol, from one secret over a ring of three to the last of them',
  defaultCount: 10,
  async run({ count }) {
    const figures: Figure[] = [];
    for (const protocol of PROTOCOLS) {
      const world = await openWorld(protocol);
      try {
        const found = await rotate(world, count);
        figures.push(
          ...found.map((figure) => ({ ...figure, name: `${protocol}: ${figure.name}` })),
        );
      } finally {
        await world.close();
      }
    }
    return figures;
  },
};

await main(import.meta.url, program);
