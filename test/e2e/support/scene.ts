import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { Client } from 'pg';
import { Admin, type Entity } from '../../support/admin.ts';
import { Browser, parseSetCookie, type Reply, send } from '../../support/client.ts';
import { Cleanup } from './cleanup.ts';
import {
  type Environment,
  type EnvironmentOptions,
  isRealKong,
  openEnvironment,
} from './environment.ts';
import { until } from './waiting.ts';

export interface Person {
  readonly id: string;
  readonly username: string;
  readonly customId: string | undefined;
  /** The credentials of key-auth, with their ids. */
  readonly keys: readonly [Key, ...Key[]];
}

export interface Key {
  readonly id: string;
  readonly key: string;
}

export type PluginConfig = Readonly<Record<string, unknown>>;

export interface SiteOptions {
  /** Default: a host of its own. */
  readonly host?: string;
  /** Prefix of the route. Default `/`. */
  readonly path?: string;
  /** Default: key-auth with `anonymous`. */
  readonly auth?: readonly ('key-auth' | 'basic-auth' | 'key-auth without anonymous')[];
  /** Besides auth and session-guard. */
  readonly plugins?: readonly { readonly name: string; readonly config: PluginConfig }[];
  /** False: the route has no session-guard of its own. */
  readonly guarded?: boolean;
}

/** Over many connections, so that every worker of a node has shown that it knows of a change; our own take turns. */
const WITNESSES = isRealKong ? 8 : 2;

/**
 * One file's part of a Kong: a service, people, and routes with session-guard, under names of their own, made through
 * the Admin API and removed at the end.
 */
export class Scene {
  readonly kong: Environment;
  readonly admin: Admin;
  /** Where the plugin keeps the sessions of this scene. */
  readonly postgres: { readonly url: string; readonly schema: string };
  readonly alice: Person;
  readonly bob: Person;
  readonly anonymous: string;
  readonly #probe: Person;
  readonly #service: string;
  readonly #run: string;
  readonly #sql: Client;
  readonly #cleanup: Cleanup;

  private constructor(parts: {
    kong: Environment;
    admin: Admin;
    run: string;
    sql: Client;
    cleanup: Cleanup;
    people: Record<'alice' | 'bob' | 'probe', Person>;
    anonymous: string;
    service: string;
  }) {
    this.kong = parts.kong;
    this.admin = parts.admin;
    this.postgres = { url: parts.kong.databaseUrl, schema: schemaOf(parts.run) };
    this.alice = parts.people.alice;
    this.bob = parts.people.bob;
    this.#probe = parts.people.probe;
    this.anonymous = parts.anonymous;
    this.#service = parts.service;
    this.#run = parts.run;
    this.#sql = parts.sql;
    this.#cleanup = parts.cleanup;
  }

  static open(options: EnvironmentOptions = {}): Promise<Scene> {
    const cleanup = new Cleanup();
    return cleanup.around(async () => {
      const kong = await openEnvironment(options);
      cleanup.defer(() => kong.close());
      const run = randomBytes(4).toString('hex');
      const sql = new Client({ connectionString: kong.databaseUrl });
      await sql.connect();
      cleanup.defer(() => sql.end());
      cleanup.defer(() => sql.query(`drop schema if exists ${schemaOf(run)} cascade`));
      const admin = new Admin(kong.nodes[0].adminUrl);
      cleanup.defer(() => admin.close());
      return new Scene({ kong, admin, run, sql, cleanup, ...(await populate(kong, admin, run)) });
    });
  }

  close(): Promise<void> {
    return this.#cleanup.run();
  }

  /** A name that nobody else uses. */
  name(label: string): string {
    return `${label}-${this.#run}-${randomBytes(3).toString('hex')}`;
  }

  /** A consumer for one test, where the test changes it or counts its sessions. */
  person(label = 'carol', fields: { username?: string; custom_id?: string } = {}): Promise<Person> {
    return createPerson(this.admin, { username: this.name(label), ...fields });
  }

  /**
   * A route with its own host name and a session-guard of this configuration, which works when the promise resolves.
   * Every site has a secret of its own, and the scene's Postgres with storage `kong`, unless `config` says otherwise.
   */
  async setUp(config: PluginConfig = {}, options: SiteOptions = {}): Promise<Site> {
    const { host = `${this.name('app')}.app.test`, path = '/', auth = ['key-auth'] } = options;
    const route = await this.admin.create(`/services/${this.#service}/routes`, {
      name: this.name('route'),
      hosts: [host],
      paths: [path],
      strip_path: false,
    });
    const plugins = `/routes/${route.id}/plugins`;
    for (const name of auth) await this.admin.create(plugins, this.#authPlugin(name));
    for (const plugin of options.plugins ?? []) await this.admin.create(plugins, plugin);
    const guard = options.guarded === false ? undefined : this.guardPlugin(config);
    // The last, so that the others work where this one does.
    const plugin = guard && (await this.admin.create(plugins, guard));
    const site = new Site(this, { host, path, route, plugin, probe: this.#probe });
    await site.untilEffective(({ setCookies }) => site.hasItsCookie(setCookies));
    return site;
  }

  /** The body of a POST to `…/plugins`. */
  guardPlugin(config: PluginConfig): { name: string; config: PluginConfig } {
    const isStored = config['storage'] === 'kong' || config['storage'] === 'postgres';
    return {
      name: 'session-guard',
      config: { secret: newSecret(), ...(isStored && { postgres: this.postgres }), ...config },
    };
  }

  /** Rows of the plugin's tables: `:SCHEMA` stands for their schema. */
  async rows<Row extends object>(text: string, values: readonly unknown[] = []): Promise<Row[]> {
    const query = text.replaceAll(':SCHEMA', this.postgres.schema);
    return (await this.#sql.query<Row>(query, [...values])).rows;
  }

  /** How many sessions of this person the database has. */
  async sessionsOf({ id }: Person): Promise<number> {
    const query = 'select count(*)::integer as count from :SCHEMA.sessions where consumer_id = $1';
    const [row] = await this.rows<{ count: number }>(query, [id]);
    return row?.count ?? 0;
  }

  #authPlugin(name: string): object {
    if (name === 'key-auth without anonymous') return { name: 'key-auth', config: {} };
    return { name, config: { anonymous: this.anonymous } };
  }
}

/** A good one, for sites that share it. */
export const newSecret = (): string => randomBytes(48).toString('base64');

const schemaOf = (run: string): string => `session_guard_${run}`;

async function populate(kong: Environment, admin: Admin, run: string) {
  const service = await admin.create('/services', { name: `echo-${run}`, url: kong.upstreamUrl });
  const anonymous = await admin.create('/consumers', { username: `anon-${run}` });
  await admin.create(`/consumers/${anonymous.id}/plugins`, {
    name: 'request-termination',
    config: { status_code: 403, message: 'So it goes.' },
  });
  const fields = { username: `alice-${run}`, custom_id: `c-alice-${run}` };
  const people = {
    alice: await createPerson(admin, fields, 2),
    bob: await createPerson(admin, { username: `bob-${run}` }),
    probe: await createPerson(admin, { username: `probe-${run}` }),
  };
  return { people, anonymous: anonymous.id, service: service.id };
}

async function createPerson(
  admin: Admin,
  fields: { username: string; custom_id?: string },
  keyCount = 1,
): Promise<Person> {
  const { id } = await admin.create('/consumers', fields);
  const createKey = async (): Promise<Key> => {
    const key = randomBytes(16).toString('hex');
    return { id: (await admin.create(`/consumers/${id}/key-auth`, { key })).id, key };
  };
  const keys: [Key, ...Key[]] = [await createKey()];
  while (keys.length < keyCount) keys.push(await createKey());
  return { id, username: fields.username, customId: fields.custom_id, keys };
}

interface SiteParts {
  readonly host: string;
  readonly path: string;
  readonly route: Entity;
  readonly plugin: Entity | undefined;
  readonly probe: Person;
}

export interface SignedIn {
  readonly browser: Browser;
  readonly reply: Reply;
  /** The Cookie header that the browser sends from now on. */
  readonly cookie: string;
}

/** A route with session-guard. */
export class Site {
  readonly host: string;
  readonly path: string;
  readonly route: Entity;
  readonly #scene: Scene;
  readonly #probe: Person;
  #plugin: Entity | undefined;

  constructor(scene: Scene, parts: SiteParts) {
    this.host = parts.host;
    this.path = parts.path;
    this.route = parts.route;
    this.#scene = scene;
    this.#probe = parts.probe;
    this.#plugin = parts.plugin;
  }

  /** The plugin's entity as the Admin API answered. */
  get plugin(): Entity {
    if (this.#plugin === undefined) throw new TypeError('the site has no session-guard');
    return this.#plugin;
  }

  get cookieName(): string {
    const config = this.#plugin?.['config'] as Record<string, string | null> | undefined;
    return `${config?.['cookie_prefix'] ?? ''}${config?.['cookie_name'] ?? 'session'}`;
  }

  /** At the node with this number. */
  browser(node = 0): Browser {
    return new Browser(this.#node(node), this.host);
  }

  /** Signs in with a key and follows the cookie. */
  async signIn(person: Person, browser = this.browser(), key = person.keys[0]): Promise<SignedIn> {
    const reply = await browser.ask({ path: this.path, headers: { apikey: key.key } });
    assert.equal(reply.status, 200, reply.body);
    assert.notDeepEqual(reply.setCookies, [], 'a sign-in sets a cookie');
    return { browser, reply, cookie: browser.cookies(this.path) };
  }

  /** Changes the plugin's configuration and waits until all requests meet the new one. */
  async configure(config: PluginConfig): Promise<void> {
    // A mark that a sign-in shows: whether scripts may see the cookie is nothing that these tests depend on.
    const before = this.plugin['config'] as { cookie_http_only: boolean };
    const cookie_http_only = !before.cookie_http_only;
    const fields = { config: { ...config, cookie_http_only } };
    this.#plugin = await this.#scene.admin.change(`/plugins/${this.plugin.id}`, fields);
    await this.untilEffective(({ setCookies }) => {
      const cookie = setCookies[0] && parseSetCookie(setCookies[0]);
      return (
        cookie !== undefined &&
        cookie !== '' &&
        cookie.attributes.has('httponly') === cookie_http_only
      );
    });
  }

  async enable(enabled: boolean): Promise<void> {
    this.#plugin = await this.#scene.admin.change(`/plugins/${this.plugin.id}`, { enabled });
    await this.untilEffective(({ setCookies }) => this.hasItsCookie(setCookies) === enabled);
  }

  /** Deletes the plugin and creates it again. */
  async recreate(config: PluginConfig): Promise<void> {
    await this.#scene.admin.delete(`/plugins/${this.plugin.id}`);
    await this.untilEffective(({ setCookies }) => !this.hasItsCookie(setCookies));
    const fields = this.#scene.guardPlugin(config);
    this.#plugin = await this.#scene.admin.create(`/routes/${this.route.id}/plugins`, fields);
    await this.untilEffective(({ setCookies }) => this.hasItsCookie(setCookies));
  }

  hasItsCookie(setCookies: readonly string[]): boolean {
    if (this.#plugin === undefined) return true;
    return setCookies.some((line) => line.startsWith(`${this.cookieName}=`));
  }

  /**
   * Polls with sign-ins of nobody else's consumer until `isEffective`, on all nodes: a real Kong takes up to 5 s
   * for routes and plugins (worker_state_update_frequency).
   */
  async untilEffective(isEffective: (reply: Reply) => boolean): Promise<void> {
    const witness = async (node: number): Promise<boolean> => {
      const headers = { apikey: this.#probe.keys[0].key };
      // Plain, since fresh connections are what a real Kong's workers share among themselves, not their encryption.
      const ask = { path: this.path, headers, fresh: true, scheme: 'http' } as const;
      const reply = await send(this.#node(node), this.host, ask);
      return reply.status === 200 && isEffective(reply);
    };
    const isKnownTo = async (node: number): Promise<boolean> => {
      if (!(await witness(node))) return false;
      const others = Array.from({ length: WITNESSES }, () => witness(node));
      return (await Promise.all(others)).every(Boolean);
    };
    for (const node of this.#scene.kong.nodes.keys()) {
      await until('the configuration is effective', () => isKnownTo(node));
    }
  }

  #node(index: number) {
    const node = this.#scene.kong.nodes[index];
    if (node === undefined) throw new TypeError(`there is no node ${index}`);
    return node;
  }
}
