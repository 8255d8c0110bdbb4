import { basename } from 'node:path';

/**
 * Where the single-file executable begins: one file under three names, since most of it is Node itself. `argv0` is the
 * name it was called by; `argv[0]` has been replaced by the path of the file.
 */
switch (basename(process.argv0)) {
  case 'session-guard':
    void import('../../lib/cli.ts');
    break;
  // The default query command of Kong 3.4 to 3.8 (get_server_defs in its plugin_servers/process.lua).
  case 'query_session-guard-server':
    process.argv.splice(2, Infinity, '-dump', '--protocol', 'auto');
    void import('../../lib/server/main.ts');
    break;
  default:
    void import('../../lib/server/main.ts');
}
