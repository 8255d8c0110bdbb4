/** One thing that was looked at. */
export interface Diagnosis {
  readonly level: 'ok' | 'warning' | 'error';
  /** For programs; it does not change. */
  readonly code: string;
  /** What it is about: `database`, `route cart`, `plugin 1f0c…`. */
  readonly place: string;
  readonly message: string;
  /** What to do about it; absent where all is well or the message says it. */
  readonly remedy?: string;
}

export const ok = (code: string, place: string, message: string): Diagnosis => ({
  level: 'ok',
  code,
  place,
  message,
});

const found =
  (level: 'warning' | 'error') =>
  (code: string, place: string, message: string, remedy: string): Diagnosis => ({
    level,
    code,
    place,
    message,
    remedy,
  });

/** Works, but not as people expect, or not for long. */
export const warning = found('warning');
/** Does not work, or is not safe. */
export const error = found('error');
