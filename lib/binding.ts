import { createHash } from 'node:crypto';
import type { Binding } from './config.ts';
import type { Request } from './request.ts';
import type { Session } from './session.ts';

/** What ties a session to its sign-in: a hash, since the values themselves are nobody's business. */
export async function bindingOf(
  request: Request,
  bind: readonly Binding[],
): Promise<string | undefined> {
  if (bind.length === 0) return undefined;
  const traits = await request.traits(bind);
  const values = bind.toSorted().map((name) => [name, traits[name] ?? '']);
  return createHash('sha256').update(JSON.stringify(values)).digest('base64url');
}

/** Whether the request comes from where the session may be used. */
export async function isBoundTo(
  { data }: Session,
  request: Request,
  bind: readonly Binding[],
): Promise<boolean> {
  return bind.length === 0 || data.bound === (await bindingOf(request, bind));
}
