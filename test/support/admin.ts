/** An entity as the Admin API shows it. */
export interface Entity {
  readonly id: string;
  readonly [field: string]: unknown;
}

/** Kong's answer to what it will not store. */
export interface Refusal {
  readonly status: number;
  readonly message: string;
  /** By field; `config` holds those of a plugin. */
  readonly fields: { readonly config?: unknown; readonly [field: string]: unknown };
}

/** Kong's Admin API, with a memory: what was created through it is deleted by `close`. */
export class Admin {
  readonly #url: string;
  readonly #created: string[] = [];

  constructor(url: string) {
    this.#url = url;
  }

  /** `collection` is a path such as `/services` or `/routes/<id>/plugins`. Throws with Kong's own words. */
  async create(collection: string, fields: object): Promise<Entity> {
    const entity = (await this.#expect(201, 'POST', collection, fields)) as Entity;
    this.#created.push(`/${collection.split('/').at(-1) ?? ''}/${entity.id}`);
    return entity;
  }

  async read(path: string): Promise<Entity> {
    return (await this.#expect(200, 'GET', path)) as Entity;
  }

  async change(path: string, fields: object): Promise<Entity> {
    return (await this.#expect(200, 'PATCH', path, fields)) as Entity;
  }

  async delete(path: string): Promise<void> {
    await this.#expect(204, 'DELETE', path);
  }

  /** Creates what must be refused, and removes it if it was not. */
  async refusal(collection: string, fields: object): Promise<Refusal> {
    const { status, body } = await this.#call('POST', collection, fields);
    if (status === 201) {
      await this.delete(`/${collection.split('/').at(-1) ?? ''}/${(body as Entity).id}`);
      throw new Error(`Kong accepted ${JSON.stringify(fields)}`);
    }
    return { fields: {}, ...(body as object), status } as Refusal;
  }

  /** Deletes what was created, the newest first; a parent took its children with it. */
  async close(): Promise<void> {
    for (const path of this.#created.splice(0).toReversed()) {
      // Credentials have no collection of their own; they go with their consumer.
      if (!/^\/(services|routes|plugins|consumers)\//.test(path)) continue;
      const { status, body } = await this.#call('DELETE', path);
      if (status !== 204 && status !== 404) throw answered('DELETE', path, status, body);
    }
  }

  async #expect(status: number, method: string, path: string, fields?: object): Promise<unknown> {
    const answer = await this.#call(method, path, fields);
    if (answer.status !== status) throw answered(method, path, answer.status, answer.body);
    return answer.body;
  }

  async #call(
    method: string,
    path: string,
    fields?: object,
  ): Promise<{ status: number; body: unknown }> {
    const response = await fetch(`${this.#url}${path}`, {
      method,
      ...(fields && {
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify(fields),
      }),
    });
    const text = await response.text();
    return {
      status: response.status,
      body: text === '' ? undefined : (JSON.parse(text) as unknown),
    };
  }
}

const answered = (method: string, path: string, status: number, body: unknown): Error =>
  new Error(`${method} ${path}: ${status} ${JSON.stringify(body)}`);
