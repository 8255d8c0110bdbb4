import type { Json } from '../entities.ts';
import { BUNDLED } from './bundled.ts';
import { definitionOf } from './definitions.ts';
import { schemaViolation } from './errors.ts';
import { loadSchema } from './metaschema.ts';
import { eachField } from './schema.ts';
import type { Schema, Table } from './schema.ts';

/** An external plugin as its server's dump describes it: `schema` is the dump's `Schema`. */
export interface ExternalPlugin {
  readonly name: string;
  readonly schema: Schema;
}

/** The schemas of the plugins that the stand-in has enabled. */
export class Catalogue {
  readonly #schemas: ReadonlyMap<string, Schema>;

  /** @throws TypeError where Kong would not start with such a schema (`loadSchema`). */
  constructor(external: readonly ExternalPlugin[]) {
    this.#schemas = new Map([
      ...BUNDLED.map((schema): [string, Schema] => [schema.name ?? '', schema]),
      ...external.map(({ name, schema }): [string, Schema] => [name, loadSchema(schema)]),
    ]);
  }

  get names(): string[] {
    return [...this.#schemas.keys()];
  }

  /** A plugin's own schema, as `/schemas/plugins/NAME` shows it. */
  get(name: string): Schema | undefined {
    return this.#schemas.get(name);
  }

  /**
   * The schema of a plugin entity: the fields every plugin has, specialised by the plugin's own.
   *
   * @throws AdminError (400) for a missing or unknown name, TypeError (Kong answers 500) for one that is no text.
   */
  schemaOf(entity: Table): Schema {
    const name: Json = entity['name'] ?? null;
    if (name === null) throw schemaViolation({ name: 'required field missing' });
    if (typeof name !== 'string') throw new TypeError('the name of a plugin is no text');
    const own = this.get(name);
    if (own === undefined) {
      const problem = `plugin '${name}' not enabled; add it to the 'plugins' configuration property`;
      throw schemaViolation({ name: problem });
    }
    const special = new Map(eachField(own));
    const common = eachField(definitionOf('plugins')?.schema ?? { fields: [] });
    return {
      fields: common.map(([field, definition]) => ({ [field]: special.get(field) ?? definition })),
      ...(own.entity_checks && { entity_checks: own.entity_checks }),
    };
  }
}
