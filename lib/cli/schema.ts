import { NAME, pluginInfo, VERSION } from '../schema.ts';
import { EXIT, parse } from './command.ts';
import type { Command } from './command.ts';
import { json } from './format.ts';
import { toLua } from './lua.ts';

const help = `session-guard schema [--lua]

The description of the plugin, as its server gives it to Kong: name, version, priority, phases and schema, in JSON.

  --lua                   the schema as a schema.lua for control planes that do not run the plugin (hybrid mode,
                          Konnect): self-contained, it requires nothing
  --json                  JSON, also by default
`;

export const command: Command = {
  help,
  async run(argv, io) {
    const { values } = parse(argv, {
      lua: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    });
    io.stdout.write(values.lua && !values.json ? schemaLua() : json(pluginInfo()));
    return EXIT.done;
  },
};

/** The text of a schema.lua; `ngx.null` is Kong's null, which control planes have too. */
export const schemaLua = (): string =>
  `-- ${NAME} ${VERSION}: the schema of its configuration, for control planes.
-- Written by "session-guard schema --lua".
return ${toLua(JSON.parse(JSON.stringify(pluginInfo().Schema)))}
`;
