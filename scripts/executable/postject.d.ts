declare module 'postject' {
  /** Writes `data` into the executable `path` as a note that the running program can find. */
  export function inject(
    path: string,
    name: string,
    data: Buffer,
    options: { readonly sentinelFuse: string },
  ): Promise<void>;
}
