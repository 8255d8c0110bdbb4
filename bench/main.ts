import { parseOptions, USAGE } from './options.ts';
import { report } from './report.ts';
import { run } from './run.ts';

try {
  const options = parseOptions(process.argv.slice(2));
  if (options === undefined) process.stdout.write(USAGE);
  else {
    const rows = await run(options, (line) => console.error(line));
    console.log(options.json ? JSON.stringify(rows, undefined, 2) : report(rows));
  }
} catch (error) {
  console.error(error);
  process.exitCode = 1;
}
