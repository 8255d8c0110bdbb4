#!/usr/bin/env node
import { main } from './cli/main.ts';

// A reader that has seen enough (`| head`) is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : 1);
});

// In a function, since the single-file executable is CommonJS (scripts/bundle.ts). Never rejects.
async function run(): Promise<void> {
  process.exitCode = await main(process.argv.slice(2), process);
}

void run();
