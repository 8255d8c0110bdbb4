import { failOver } from './database-faults/fail-over.ts';
import { mountSmallDisk } from './database-faults/full-disk.ts';
import { TROUBLES } from './database-faults/troubles.ts';
import {
  endure,
  openWorld,
  type Scale,
  type Trouble,
  type World,
} from './database-faults/world.ts';
import { type Figure, main, type Program } from './program.ts';

async function within<T>(scale: Scale, work: (world: World) => Promise<T>): Promise<T> {
  const world = await openWorld(scale);
  try {
    return await work(world);
  } finally {
    await world.close();
  }
}

async function onSmallDisk(scale: Scale): Promise<Figure[]> {
  const disk = await mountSmallDisk();
  if (disk === undefined) {
    console.log('disk full: SKIPPED, since this user may not mount a tmpfs');
    return [];
  }
  const before = process.env['TMPDIR'];
  try {
    process.env['TMPDIR'] = disk.path; // where Postgres finds its home
    return await within(scale, (world) => endure(world, disk.trouble));
  } finally {
    if (before === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = before;
    await disk.close();
  }
}

/** Some of the troubles by name, on one server one after the other. */
export function run(scale: Scale, wanted: (trouble: Trouble) => boolean): Promise<Figure[]> {
  return within(scale, async (world) => {
    const figures: Figure[] = [];
    for (const trouble of TROUBLES.filter(wanted)) figures.push(...(await endure(world, trouble)));
    return figures;
  });
}

export const program: Program = {
  name: 'database-faults',
  claim:
    'A database that dies, stops, crawls, fills up or comes back older lets nobody pass wrongly, is waited for within bounds, and is used again at once.',
  counts: 'seconds of each trouble, at 300 requests/s',
  defaultCount: 60,
  async run({ count }) {
    const scale: Scale = { rate: 300, lasts: count * 1000, quiet: 2000, isTimed: true };
    return [
      ...(await run(scale, () => true)),
      ...(await onSmallDisk(scale)),
      ...(await within(scale, failOver)),
    ];
  },
};

await main(import.meta.url, program);
