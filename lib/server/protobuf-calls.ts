import type { PdkCall } from '../pdk.ts';
import { endsEvent } from './event.ts';
import { ProtobufWriter } from './protobuf-codec.ts';
import { methodOf } from './protobuf-methods.ts';

const out = new ProtobufWriter();

/**
 * Frames of calls and of batches that never change. What is frozen is a promise of that, so it is encoded once.
 */
const encoded = new WeakMap<PdkCall | readonly PdkCall[], Buffer>();

/** The frames of a batch of calls. Throws TypeError on what Kong cannot receive. */
export function encodeCalls(calls: readonly PdkCall[]): Buffer {
  const known = encoded.get(calls);
  if (known) return known;
  out.begin();
  for (const call of calls) writeCall(call);
  const frames = out.copy();
  if (Object.isFrozen(calls)) encoded.set(calls, frames);
  return frames;
}

/**
 * The frames of the calls that end a request. An exit is the end by itself; behind other calls
 * stands an empty name, and the RpcReturn that Kong expects.
 */
export function encodeEnd(calls: readonly PdkCall[], sequence: number): Buffer {
  const frames = encodeCalls(calls);
  const last = calls.at(-1);
  if (last !== undefined && endsEvent(last)) return frames;
  out.begin();
  out.bytes(frames);
  out.endFrame(out.beginFrame());
  const start = out.beginFrame();
  out.intField(1, sequence);
  out.endFrame(start);
  return out.copy();
}

/**
 * The RpcReturn of StartInstance. Field 33 must be there, or Kong waits 10 s at the next request
 * (Kong's rpc/pb_rpc.lua).
 */
export function encodeStarted(sequence: number, name: string, instanceId: number): Buffer {
  out.begin();
  const start = out.beginFrame();
  out.intField(1, sequence);
  const status = out.beginMessage(33);
  out.textField(1, name);
  out.intField(2, instanceId);
  out.endMessage(status);
  out.endFrame(start);
  return out.copy();
}

/** The RpcReturn of CloseInstance. */
export function encodeClosed(sequence: number): Buffer {
  out.begin();
  const start = out.beginFrame();
  out.intField(1, sequence);
  out.endFrame(start);
  return out.copy();
}

function writeCall(call: PdkCall): void {
  const known = encoded.get(call);
  if (known) return out.bytes(known);
  const start = out.length;
  const method = methodOf(call);
  const nameStart = out.beginFrame();
  out.text(call[0]);
  out.endFrame(nameStart);
  const argumentStart = out.beginFrame();
  method.encode(out, call.slice(1));
  out.endFrame(argumentStart);
  if (Object.isFrozen(call)) encoded.set(call, out.copy(start));
}
