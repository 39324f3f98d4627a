/** What a package may be. Running limits: they hold while bytes arrive, not after. */
export const limits = {
  packedBytes: 32 * 1024 * 1024,
  unpackedBytes: 64 * 1024 * 1024,
  files: 2_000,
  folders: 2_000,
  depth: 12,
  pathBytes: 240,
  manifestBytes: 262_144,
  /** Unpacked to packed, once there is enough to judge by. Text reaches 20, bombs reach 1,000. */
  ratio: 200,
  ratioFromBytes: 4 * 1024 * 1024,
  /** The answer of a registry about one package. */
  metadataBytes: 16 * 1024 * 1024,
  lockBytes: 16 * 1024 * 1024,
  indexBytes: 8 * 1024 * 1024,
} as const;

export const mebibytes = (bytes: number): string => `${bytes / 1024 / 1024} MiB`;
