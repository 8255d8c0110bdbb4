import {
  LuaError,
  type LuaTable,
  type LuaValue,
  entries,
  isTable,
  sequence,
  typeName,
} from '../lua.ts';
import type { PdkFunction } from './scope.ts';

export function stringArgument(value: LuaValue, message: string): string {
  if (typeof value !== 'string') throw new LuaError(message);
  return value;
}

/** An optional count between 1 and 1000. */
export function countArgument(value: LuaValue, name: string, fallback: number): number {
  if (value === undefined) return fallback;
  if (typeof value !== 'number') throw new LuaError(`${name} must be a number`);
  if (value < 1) throw new LuaError(`${name} must be >= 1`);
  if (value > 1000) throw new LuaError(`${name} must be <= 1000`);
  return value;
}

/** pdk/private/checks.lua, validate_header. */
export function headerArgument(name: LuaValue, value: LuaValue): string {
  if (typeof name !== 'string') {
    const shown = isTable(name) ? typeName(name) : String(name);
    throw new LuaError(`invalid header name "${shown}": got ${typeName(name)}, expected string`);
  }
  if (!isHeaderValue(name, value)) {
    throw new LuaError(
      `invalid header value for "${name}": got ${typeName(value)}, expected ` +
        'array of string, string, number or boolean',
    );
  }
  return name;
}

/** pdk/private/checks.lua, validate_headers. */
export function headersArgument(headers: LuaValue): [string, LuaValue][] {
  if (!isTable(headers)) throw new LuaError('headers must be a table');
  return entries(headers).map(([name, value]) => {
    if (typeof name !== 'string') {
      throw new LuaError(
        `invalid header name "${String(name)}": got ${typeof name}, expected string`,
      );
    }
    if (!isHeaderValue(name, value)) {
      throw new LuaError(
        `invalid header value for "${name}": got ${typeName(value)}, expected ` +
          'string, number, boolean or array of strings',
      );
    }
    return [name, value];
  });
}

function isHeaderValue(
  name: string,
  value: LuaValue,
): value is string | number | boolean | LuaTable {
  if (!isTable(value)) return ['string', 'number', 'boolean'].includes(typeof value);
  const wrong = sequence(value).find((element) => typeof element !== 'string');
  if (wrong === undefined) return true;
  throw new LuaError(
    `invalid header value in array "${name}": got ${typeName(wrong)}, expected string`,
  );
}

/** A function that exists but not in the access phase. */
export function notInAccess(phases: string): PdkFunction {
  return () => {
    throw new LuaError(`function cannot be called in access phase (only in: ${phases})`);
  };
}
