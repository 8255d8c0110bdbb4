import type { PdkCall, PdkValue } from '../pdk.ts';
import { decodeStruct, decodeValue, FieldReader } from './protobuf-codec.ts';
import type { PdkMap, ProtobufWriter } from './protobuf-codec.ts';

// The methods of Kong's pluginsocket.proto that make sense in the access phase, by the types of
// their argument and answer. Fields are known by their numbers: Kong writes them in another order
// after each start (Kong's rpc/pb_rpc.lua).

type Encode = (out: ProtobufWriter, args: readonly (PdkValue | undefined)[]) => void;
type Decode = (answer: Buffer) => unknown;

/** How a PDK function is carried. */
export interface Method {
  readonly encode: Encode;
  readonly decode: Decode;
}

function text(value: PdkValue | undefined): string {
  if (typeof value !== 'string') throw new TypeError('the argument must be a string');
  return value;
}

function map(value: PdkValue | undefined): PdkMap {
  if (typeof value !== 'object' || Array.isArray(value) || value instanceof Uint8Array) {
    throw new TypeError('the argument must be an object');
  }
  return value as PdkMap;
}

const Empty: Encode = () => undefined;
const String_: Encode = (out, [value]) => out.textField(1, text(value));
/** Kong answers 500 to 0, which is also what an absent number means. */
const Count: Encode = (out, [count]) => {
  if (typeof count !== 'number' || !(count >= 1)) throw new TypeError('the argument must count');
  out.intField(1, count);
};

const Struct: Encode = (out, [members]) => out.struct(map(members));
const ListValue: Encode = (out, args) => out.list(args as readonly PdkValue[]);

const KV: Encode = (out, [key, value]) => {
  out.textField(1, text(key));
  const start = out.beginMessage(2);
  out.value(value);
  out.endMessage(start);
};

const ConsumerSpec: Encode = (out, [id, byUsername]) => {
  out.textField(1, text(id));
  if (byUsername === true) out.intField(2, 1);
};

const CONSUMER_FIELDS = { id: 1, username: 3, custom_id: 4 };
const CREDENTIAL_FIELDS = { id: 1, consumer_id: 2 };

function fields(out: ProtobufWriter, numbers: Record<string, number>, members: PdkMap): void {
  for (const [name, number] of Object.entries(numbers)) {
    if (members[name] !== undefined) out.textField(number, text(members[name]));
  }
}

const AuthenticateArgs: Encode = (out, [consumer, credential]) => {
  const consumerStart = out.beginMessage(1);
  fields(out, CONSUMER_FIELDS, map(consumer));
  out.endMessage(consumerStart);
  const credentialStart = out.beginMessage(2);
  fields(out, CREDENTIAL_FIELDS, map(credential));
  out.endMessage(credentialStart);
};

const ExitArgs: Encode = (out, [status, body, headers]) => {
  if (typeof status !== 'number' || !(status >= 100 && status <= 599)) {
    throw new TypeError('the status must be one of HTTP');
  }
  out.intField(1, status);
  if (body instanceof Uint8Array) out.bytesField(2, body);
  else if (body !== undefined) out.textField(2, text(body));
  if (headers === undefined) return;
  const start = out.beginMessage(3);
  out.struct(map(headers));
  out.endMessage(start);
};

const nothing: Decode = () => undefined;
const value: Decode = (answer) => decodeValue(answer);
const struct: Decode = (answer) => decodeStruct(answer);

/** nil, absent and "" are the same message. */
const string: Decode = (answer) => {
  const reader = new FieldReader(answer);
  let found = '';
  while (reader.next()) if (reader.field === 1) found = reader.text();
  return found === '' ? undefined : found;
};

/** The string fields of a message; none of them is one that is absent. */
function record(names: Readonly<Record<number, string>>): Decode {
  return (answer) => {
    if (answer.length === 0) return undefined;
    const reader = new FieldReader(answer);
    const found: Record<string, string> = {};
    while (reader.next()) {
      const name = names[reader.field];
      if (name !== undefined) found[name] = reader.text();
    }
    return found;
  };
}

const consumer = record({ 1: 'id', 3: 'username', 4: 'custom_id' });
const credential = record({ 1: 'id', 2: 'consumer_id' });

/** A body beyond client_body_buffer_size is the name of a file on Kong's node, and absent here. */
const rawBody: Decode = (answer) => {
  const reader = new FieldReader(answer);
  while (reader.next()) if (reader.field === 1) return Uint8Array.from(reader.bytes());
  return undefined;
};

const TABLE: readonly [encode: Encode, decode: Decode, names: string][] = [
  [Empty, string, 'client.get_ip client.get_forwarded_ip request.get_method request.get_scheme'],
  [Empty, string, 'request.get_forwarded_scheme request.get_host request.get_forwarded_host'],
  [Empty, string, 'request.get_path request.get_path_with_query request.get_raw_query node.get_id'],
  [Count, struct, 'request.get_headers'],
  [Empty, rawBody, 'request.get_raw_body'],
  [Empty, consumer, 'client.get_consumer'],
  [Empty, credential, 'client.get_credential'],
  [String_, string, 'nginx.get_var request.get_header request.get_query_arg'],
  [String_, value, 'nginx.get_ctx ctx.shared.get'],
  [String_, nothing, 'service.request.clear_header response.clear_header'],
  [ConsumerSpec, consumer, 'client.load_consumer'],
  [AuthenticateArgs, nothing, 'client.authenticate'],
  [KV, nothing, 'nginx.set_ctx ctx.shared.set response.set_header response.add_header'],
  [KV, nothing, 'service.request.set_header service.request.add_header'],
  [Struct, nothing, 'service.request.set_headers response.set_headers'],
  [ListValue, nothing, 'log.alert log.crit log.err log.warn log.notice log.info log.debug'],
  [ExitArgs, nothing, 'response.exit'],
];

const METHODS = new Map<string, Method>(
  TABLE.flatMap(([encode, decode, names]) =>
    names.split(' ').map((name): [string, Method] => [`kong.${name}`, { encode, decode }]),
  ),
);

/** Throws TypeError on a function that the protocol does not have: Kong would answer 500. */
export function methodOf([name]: PdkCall): Method {
  const method = METHODS.get(name);
  if (!method) throw new TypeError(`${name} is not in Kong's ProtoBuf protocol`);
  return method;
}
