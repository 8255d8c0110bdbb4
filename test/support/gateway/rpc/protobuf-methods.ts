import { type LuaValue, index, isTable, unpack } from '../lua.ts';
import type { Message } from './protobuf-codec.ts';
import * as messages from './protobuf-messages.ts';
import { unwrapList, unwrapStruct, unwrapValue, wrapStruct, wrapValue } from './protobuf-values.ts';

/** What a PDK method takes and gives over ProtoBuf:1, and how that becomes Lua arguments and a result. */
export interface Method {
  readonly input: Message;
  readonly output: Message;
  readonly unwrap: (argument: LuaValue) => LuaValue[];
  /** nil is an empty frame. */
  readonly wrap: (result: LuaValue) => LuaValue;
}

type In = Pick<Method, 'input' | 'unwrap'>;
type Out = Pick<Method, 'output' | 'wrap'>;

const v = (argument: LuaValue): LuaValue[] => [index(argument, 'v')];
const member =
  (...names: string[]) =>
  (argument: LuaValue): LuaValue[] =>
    names.map((name) => index(argument, name));

const NOTHING: In = { input: messages.EMPTY, unwrap: () => [] };
const TEXT: In = { input: messages.STRING, unwrap: v };
const COUNT: In = { input: messages.INT, unwrap: v };
const PAIR: In = {
  input: messages.KV,
  unwrap: (argument) => [index(argument, 'k'), unwrapValue(index(argument, 'v'))],
};
const STRUCT: In = { input: messages.STRUCT, unwrap: (argument) => [unwrapStruct(argument)] };
const LIST: In = {
  input: messages.LIST,
  unwrap: (argument) => (isTable(argument) ? unpack(unwrapList(argument)) : []),
};
const CONSUMER_SPEC: In = { input: messages.CONSUMER_SPEC, unwrap: member('id', 'by_username') };
const IDENTITY: In = { input: messages.AUTHENTICATE, unwrap: member('consumer', 'credential') };
const EXIT: In = {
  input: messages.EXIT,
  unwrap: (argument) => [
    ...member('status', 'body')(argument),
    unwrapStruct(index(argument, 'headers')),
  ],
};

const inV = (result: LuaValue): LuaValue => new Map([['v', result]]);
const same = (result: LuaValue): LuaValue => result;

const toNothing: Out = { output: messages.EMPTY, wrap: () => undefined };
const toText: Out = { output: messages.STRING, wrap: inV };
const toInteger: Out = { output: messages.INT, wrap: inV };
const toValue: Out = { output: messages.VALUE, wrap: wrapValue };
const toStruct: Out = { output: messages.STRUCT, wrap: wrapStruct };
const toConsumer: Out = { output: messages.CONSUMER, wrap: same };
const toCredential: Out = { output: messages.CREDENTIAL, wrap: same };
const toRoute: Out = { output: messages.ROUTE, wrap: same };
const toBody: Out = {
  output: messages.RAW_BODY,
  wrap: (result) => new Map([typeof result === 'string' ? ['content', result] : BODY_FILE]),
};

/** A body that nginx wrote to a file is not read; nobody opens this one. */
const BODY_FILE: [string, string] = [
  'body_filepath',
  '/usr/local/kong/client_body_temp/0000000001',
];

const each = (prefix: string, names: string, input: In, output: Out): [string, Method][] =>
  names.split(' ').map((name) => [`kong.${prefix}.${name}`, { ...input, ...output }]);

/** The methods of the service Kong in pluginsocket.proto that the PDK of the stand-in has, by their wire names. */
export const METHODS: ReadonlyMap<string, Method> = new Map([
  ...each('client', 'get_ip get_forwarded_ip', NOTHING, toText),
  ...each('client', 'get_credential', NOTHING, toCredential),
  ...each('client', 'get_consumer', NOTHING, toConsumer),
  ...each('client', 'load_consumer', CONSUMER_SPEC, toConsumer),
  ...each('client', 'authenticate', IDENTITY, toNothing),
  ...each('ctx.shared', 'get', TEXT, toValue),
  ...each('ctx.shared', 'set', PAIR, toNothing),
  ...each('log', 'crit err warn notice info debug', LIST, toNothing),
  ...each('nginx', 'get_var', TEXT, toText),
  ...each('nginx', 'get_ctx', TEXT, toValue),
  ...each('nginx', 'set_ctx', PAIR, toText),
  ...each('node', 'get_id', NOTHING, toText),
  ...each('request', 'get_method get_path get_path_with_query get_raw_query', NOTHING, toText),
  ...each('request', 'get_scheme get_forwarded_scheme', NOTHING, toText),
  ...each('request', 'get_host get_forwarded_host', NOTHING, toText),
  ...each('request', 'get_header get_query_arg', TEXT, toText),
  ...each('request', 'get_headers get_query', COUNT, toStruct),
  ...each('request', 'get_raw_body', NOTHING, toBody),
  ...each('response', 'get_status', NOTHING, toInteger),
  ...each('response', 'get_header', TEXT, toText),
  ...each('response', 'set_header add_header', PAIR, toNothing),
  ...each('response', 'clear_header', TEXT, toNothing),
  ...each('response', 'set_headers', STRUCT, toNothing),
  ...each('response', 'exit', EXIT, toNothing),
  ...each('router', 'get_route', NOTHING, toRoute),
  ...each('service.request', 'set_header add_header', PAIR, toNothing),
  ...each('service.request', 'clear_header', TEXT, toNothing),
  ...each('service.request', 'set_headers', STRUCT, toNothing),
]);
