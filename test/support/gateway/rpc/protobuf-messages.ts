import type { Field, Message } from './protobuf-codec.ts';

/** The messages of kong/include/kong/pluginsocket.proto (3.9.1) that the stand-in speaks. */

type Options = Omit<Field, 'number' | 'name' | 'type'>;

const field = (
  number: number,
  name: string,
  type: Field['type'],
  options: Options = {},
): Field => ({ number, name, type, ...options });

const oneof = { oneof: true };
const repeated = { repeated: true };

export const EMPTY: Message = [];
export const STRING: Message = [field(1, 'v', 'string')];
export const INT: Message = [field(1, 'v', 'integer')];
export const NUMBER: Message = [field(1, 'v', 'double')];
export const BOOL: Message = [field(1, 'v', 'boolean')];

export const VALUE: Message = [
  field(1, 'null_value', 'null', oneof),
  field(2, 'number_value', 'double', oneof),
  field(3, 'string_value', 'string', oneof),
  field(4, 'bool_value', 'boolean', oneof),
  field(5, 'struct_value', () => STRUCT, oneof),
  field(6, 'list_value', () => LIST, oneof),
];
export const STRUCT: Message = [field(1, 'fields', () => VALUE, { map: true })];
export const LIST: Message = [field(1, 'values', () => VALUE, repeated)];
export const KV: Message = [field(1, 'k', 'string'), field(2, 'v', () => VALUE)];

export const EXIT: Message = [
  field(1, 'status', 'integer'),
  field(2, 'body', 'bytes'),
  field(3, 'headers', () => STRUCT),
];
export const RAW_BODY: Message = [
  field(1, 'content', 'bytes', oneof),
  field(2, 'body_filepath', 'string', oneof),
  field(3, 'error', 'string', oneof),
];

export const CONSUMER: Message = [
  field(1, 'id', 'string'),
  field(2, 'created_at', 'integer'),
  field(3, 'username', 'string'),
  field(4, 'custom_id', 'string'),
  field(5, 'tags', 'string', repeated),
];
export const CREDENTIAL: Message = [field(1, 'id', 'string'), field(2, 'consumer_id', 'string')];
export const CONSUMER_SPEC: Message = [
  field(1, 'id', 'string'),
  field(2, 'by_username', 'boolean'),
];
export const AUTHENTICATE: Message = [
  field(1, 'consumer', () => CONSUMER),
  field(2, 'credential', () => CREDENTIAL),
];

const SERVICE_KEY: Message = [field(1, 'id', 'string')];
export const ROUTE: Message = [
  field(1, 'id', 'string'),
  field(2, 'created_at', 'integer'),
  field(3, 'updated_at', 'integer'),
  field(4, 'name', 'string'),
  field(5, 'protocols', 'string', repeated),
  field(6, 'methods', 'string', repeated),
  field(7, 'hosts', 'string', repeated),
  field(8, 'paths', 'string', repeated),
  field(10, 'https_redirect_status_code', 'integer'),
  field(11, 'regex_priority', 'integer'),
  field(12, 'strip_path', 'boolean'),
  field(13, 'preserve_host', 'boolean'),
  field(17, 'tags', 'string', repeated),
  field(18, 'service', () => SERVICE_KEY),
];

const START_INSTANCE: Message = [field(1, 'name', 'string'), field(2, 'config', 'bytes')];
const CLOSE_INSTANCE: Message = [field(1, 'instance_id', 'integer', oneof)];
const HANDLE_EVENT: Message = [
  field(1, 'instance_id', 'integer'),
  field(2, 'event_name', 'string'),
];
export const RPC_CALL: Message = [
  field(1, 'sequence', 'integer'),
  field(33, 'cmd_start_instance', () => START_INSTANCE),
  field(35, 'cmd_close_instance', () => CLOSE_INSTANCE),
  field(36, 'cmd_handle_event', () => HANDLE_EVENT),
];

const INSTANCE_STATUS: Message = [field(1, 'name', 'string'), field(2, 'instance_id', 'integer')];
export const RPC_RETURN: Message = [
  field(1, 'sequence', 'integer'),
  field(33, 'instance_status', () => INSTANCE_STATUS),
];
