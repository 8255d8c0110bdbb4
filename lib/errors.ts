export type ErrorCode =
  | 'ERR_CONFIG' // a configuration that must not run; the message names the field and the fix
  | 'ERR_STORE_UNAVAILABLE' // the database did not answer in time or not at all
  | 'ERR_SCHEMA' // the database's tables are not what this version can work with
  | 'ERR_TOO_LARGE'; // the session does not fit into the cookies a browser keeps

/** An error somebody outside can cause or mend. Wrong use of a function throws a TypeError instead. */
export class SessionError extends Error {
  override readonly name = 'SessionError';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Whether the store cannot be asked now: down, or with tables that this version cannot work with. */
export const isStoreUnavailable = (error: unknown): boolean =>
  error instanceof SessionError &&
  (error.code === 'ERR_STORE_UNAVAILABLE' || error.code === 'ERR_SCHEMA');
