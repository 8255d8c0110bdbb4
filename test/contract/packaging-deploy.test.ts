import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { isLoopback } from '../../lib/endpoint/address.ts';
import { parseOptions } from '../../lib/server/options.ts';
import { Dockerfile } from '../support/dockerfile.ts';
import { startGateway } from '../support/gateway/index.ts';

/* The files that people deploy with, where no container engine is at hand to try them. */

const fileOf = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url));
const read = (name: string) => readFile(fileOf(name), 'utf8');
const load = async (name: string) => parse(await read(name), { merge: true }) as unknown;

interface Service {
  readonly image?: string;
  readonly build?: { context: string; target?: string };
  readonly command?: string;
  readonly environment?: Record<string, string>;
  readonly ports?: string[];
  readonly healthcheck?: { test: string[] };
  readonly depends_on?: Record<string, { condition: string }>;
}
interface Compose {
  readonly services: Record<string, Service>;
}

for (const name of ['docker-compose.yml', '.github/kong.compose.yml']) {
  test(`${name}: whoever is waited for can be waited for, and nothing leaves the machine`, async () => {
    const { services } = (await load(name)) as Compose;
    for (const [service, { depends_on = {}, ports = [] }] of Object.entries(services)) {
      for (const [other, { condition }] of Object.entries(depends_on)) {
        const awaited = services[other];
        assert.ok(awaited, `${service} waits for ${other}`);
        if (condition === 'service_healthy') assert.ok(awaited.healthcheck, other);
        else assert.equal(condition, 'service_completed_successfully');
      }
      for (const port of ports) assert.match(port, /^127\.0\.0\.1:/);
    }
    const dockerfile = await read('Dockerfile');
    for (const { build } of Object.values(services)) {
      if (build?.target) assert.match(dockerfile, new RegExp(` AS ${build.target}$`, 'm'));
    }
  });
}

/** The command of a service in the layout of its image, as its container would run it. */
async function runService(dockerfile: Dockerfile, service: Service, env: Record<string, string>) {
  const { root, workdir } = await dockerfile.build(service.build?.target ?? '');
  const [program = '', ...args] = service.command?.split(' ') ?? [];
  assert.equal(program, 'node');
  const options = { cwd: join(root, workdir), env: { ...service.environment, ...env } };
  return promisify(execFile)(process.execPath, args, options);
}

test('the set-up of docker-compose.yml configures a fresh Kong once', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'session-guard-compose-'));
  t.after(() => rm(folder, { recursive: true }));
  const { services } = (await load('docker-compose.yml')) as Compose;
  assert.ok(services['setup']);
  const socketPath = join(folder, 'server.socket');
  const command = `'${process.execPath}' '${fileOf('dist/lib/server/main.js')}'`;
  const gateway = await startGateway({
    server: {
      socketPath,
      queryCmd: `${command} -dump`,
      startCmd: `${command} --socket ${socketPath}`,
    },
  });
  t.after(() => gateway.stop());
  const dockerfile = await Dockerfile.open(folder, {
    'npm ci': (directory) => symlink(fileOf('node_modules'), join(directory, 'node_modules')),
  });
  const env = { ADMIN_URL: gateway.adminUrl };
  const first = await runService(dockerfile, services['setup'], env);
  assert.equal(first.stdout, 'Kong is configured.\n');
  const again = await runService(dockerfile, services['setup'], env);
  assert.equal(again.stdout, 'Kong is configured already.\n');
});

/** The lines of a kong.conf, those in comments too. */
const settingsOf = (text: string): [name: string, value: string][] =>
  [...text.matchAll(/^ *#? *([a-z_]+) = (.+)$/gm)].map(([, name = '', value = '']) => [
    name,
    value,
  ]);

/** What follows the path of the executable in a command, as the server's own parser takes it. */
const optionsIn = (command: string) =>
  parseOptions(
    command
      .replace(/^.*?(session-guard-server|main\.js) ?/, '')
      .split(' ')
      .filter(Boolean),
  );

test('kong.conf.example explains every line, and the server takes the commands it shows', async () => {
  const text = await read('kong.conf.example');
  for (const paragraph of text.split('\n\n')) assert.match(paragraph.trimStart(), /^#/);
  const settings = settingsOf(text);
  const commands = settings.filter(([name]) => name.endsWith('_cmd'));
  assert.equal(commands.length, 6);
  for (const [name, command] of commands) {
    const expected = name.endsWith('_query_cmd') ? 'dump' : 'serve';
    assert.equal(optionsIn(command).command, expected, command);
    assert.match(command, /^\/usr\/local\//); // Kong's children have no PATH
  }
  const sockets = settings.filter(([name]) => name.endsWith('_socket')).map(([, path]) => path);
  assert.equal(sockets[0], parseOptions([]).socket);
});

interface Container {
  readonly name: string;
  readonly image: string;
  readonly command?: string[];
  readonly env?: { name: string; value?: string }[];
  readonly volumeMounts: { name: string; mountPath: string }[];
  readonly securityContext: object;
  readonly ports?: { name: string; containerPort: number }[];
  readonly livenessProbe?: Probe;
  readonly readinessProbe?: Probe;
}
interface Probe {
  readonly httpGet: { path: string; port: string };
}
interface Deployment {
  readonly spec: {
    template: {
      spec: {
        initContainers: Container[];
        containers: Container[];
        volumes: { name: string }[];
        securityContext: object;
      };
    };
  };
}
interface Values {
  readonly env: Record<string, string>;
  readonly deployment: {
    initContainers: Container[];
    userDefinedVolumes: { name: string }[];
    userDefinedVolumeMounts: { name: string; mountPath: string }[];
  };
}

const SOCKET = '/run/session-guard/server.socket';

test('the pod of the sidecar shares one socket, one user and one answer to the query', async () => {
  const { template } = ((await load('deploy/kubernetes/sidecar.yaml')) as Deployment).spec;
  const { initContainers, containers, volumes, securityContext } = template.spec;
  const names = new Set(volumes.map(({ name }) => name));
  for (const { name, volumeMounts, securityContext: own } of [...initContainers, ...containers]) {
    assert.ok(
      volumeMounts.every((mount) => names.has(mount.name)),
      name,
    );
    assert.ok(
      volumeMounts.some(({ mountPath }) => mountPath === '/run/session-guard'),
      name,
    );
    assert.ok(!('runAsUser' in own), name);
  }
  assert.deepEqual(securityContext, { ...securityContext, runAsUser: 1000, runAsNonRoot: true });
  const env = new Map(containers[0]?.env?.map(({ name, value }) => [name, value]));
  const key = 'KONG_PLUGINSERVER_SESSION_GUARD_SERVER';
  assert.equal(env.get(`${key}_SOCKET`), SOCKET);
  const [, , command = ''] = initContainers[0]?.command ?? [];
  assert.equal(`cat ${command.split(' > ')[1]}`, env.get(`${key}_QUERY_CMD`));
  assert.equal(optionsIn(command.split(' > ')[0] ?? '').command, 'dump');
  assert.ok(!env.has(`${key}_START_CMD`));
});

test('the endpoint of the sidecar can be probed by the kubelet, and its metrics need a token', async () => {
  const { template } = ((await load('deploy/kubernetes/sidecar.yaml')) as Deployment).spec;
  const server = template.spec.initContainers.find(({ name }) => name === 'session-guard');
  assert.ok(server?.command);
  const { socket, endpoint } = optionsIn(server.command.join(' '));
  assert.equal(socket, SOCKET);
  assert.ok(endpoint && !isLoopback(endpoint.address.host));
  assert.deepEqual(server.ports, [{ name: 'metrics', containerPort: endpoint.address.port }]);
  // It has few connections, and whoever reaches it may hold them: that must end nothing.
  assert.equal(server.livenessProbe, undefined);
  assert.deepEqual(server.readinessProbe, { httpGet: { path: '/readyz', port: 'metrics' } });
  const folder = dirname(endpoint.metricsTokenFile ?? '');
  assert.ok(server.volumeMounts.some(({ mountPath }) => mountPath === folder));
});

test('the values for the chart say what the manifest says', async () => {
  const { template } = ((await load('deploy/kubernetes/sidecar.yaml')) as Deployment).spec;
  const { env, deployment } = (await load('deploy/kubernetes/values.yaml')) as Values;
  const plain = (containers: Container[]) =>
    containers.map((container) => ({ ...container, securityContext: undefined }));
  assert.deepEqual(plain(deployment.initContainers), plain(template.spec.initContainers));
  const ofKong = new Map(template.spec.containers[0]?.env?.map(({ name, value }) => [name, value]));
  for (const [name, value] of Object.entries(env)) {
    assert.equal(value, ofKong.get(`KONG_${name.toUpperCase()}`), name);
  }
  assert.deepEqual(deployment.userDefinedVolumes, template.spec.volumes.slice(0, 2));
});

test('the systemd unit starts the server where kong.conf looks for it', async () => {
  const unit = await read('deploy/systemd/session-guard-server.service');
  const lines = new Map(
    [...unit.matchAll(/^(\w+)=(.*)$/gm)].map(([, name, value]) => [name, value]),
  );
  const { command, socket } = optionsIn(lines.get('ExecStart') ?? '');
  assert.deepEqual([command, socket], ['serve', SOCKET]);
  assert.equal(`/run/${lines.get('RuntimeDirectory')}/server.socket`, SOCKET);
  assert.match(lines.get('ExecStart') ?? '', /^\/usr\/local\/libexec\//);
  const told = new Map(settingsOf(unit));
  assert.equal(told.get('pluginserver_session_guard_server_socket'), SOCKET);
  const query = told.get('pluginserver_session_guard_server_query_cmd') ?? '';
  assert.equal(query.split(' ')[0], lines.get('ExecStart')?.split(' ')[0]);
  assert.equal(optionsIn(query).command, 'dump');
});
