/**
 * A seccomp filter as bytes for bubblewrap's --seccomp. It takes away what a build or a
 * script does not need and what has let programs out of namespaces before: other processes'
 * memory, keyrings, mounts, new namespaces, io_uring, bpf, odd socket families, setuid files.
 */
export function seccompFilter(arch: string = process.arch): Uint8Array | undefined {
  const table = tables[arch];
  if (table === undefined) return undefined;
  const code: Instruction[] = [load(4), jumpIf(equal, table.audit, 1, 0), fail(EPERM), load(0)];
  // The x32 calls of x86-64 are the same calls under other numbers.
  code.push(jumpIf(greaterOrEqual, 0x40000000, 0, 1), fail(EPERM));
  for (const nr of table.refused) code.push(jumpIf(equal, nr, 0, 1), fail(EPERM));
  // libc falls back from these to calls whose arguments a filter can see.
  for (const nr of [clone3, openat2]) code.push(jumpIf(equal, nr, 0, 1), fail(ENOSYS));
  for (const [nr, argument, bits] of table.refusedBits)
    code.push(...whenCalled(nr, [loadArgument(argument), jumpIf(anyBit, bits, 0, 1), fail(EPERM)]));
  for (const [nr, flags, mode] of table.creating) {
    const check = [
      loadArgument(flags),
      jumpIf(anyBit, O_CREAT, 0, 3),
      loadArgument(mode),
      jumpIf(anyBit, setIdBits, 0, 1),
      fail(EPERM),
    ];
    code.push(...whenCalled(nr, check));
  }
  const family = [1, 2, 10, 16].map((known, index) => jumpIf(equal, known, 4 - index, 0));
  code.push(...whenCalled(table.socket, [loadArgument(0), ...family, fail(EAFNOSUPPORT)]));
  const faked = [0x5412, 0x541c].flatMap((request) => [jumpIf(equal, request, 0, 1), fail(EPERM)]);
  code.push(...whenCalled(table.ioctl, [loadArgument(1), ...faked]), allow);
  return assemble(code);
}

type Instruction = readonly [code: number, whenTrue: number, whenFalse: number, value: number];

const [EPERM, ENOSYS, EAFNOSUPPORT] = [1, 38, 97];
const [equal, greaterOrEqual, anyBit] = [0x15, 0x35, 0x45];
const O_CREAT = 0o100;
const setIdBits = 0o6000;
const namespaceBits = 0x7e020000;
const [clone3, openat2] = [435, 437];
// Same numbers everywhere: io_uring, the new mount calls, mount_setattr.
const common = [425, 426, 427, 428, 429, 430, 431, 432, 433, 442];

interface Table {
  readonly audit: number;
  readonly refused: readonly number[];
  /** Call, argument and the bits that must not be set in it. */
  readonly refusedBits: readonly (readonly [number, number, number])[];
  /** Call with its arguments for flags and mode. */
  readonly creating: readonly (readonly [number, number, number])[];
  readonly socket: number;
  readonly ioctl: number;
}

const tables: Readonly<Record<string, Table>> = {
  x64: {
    audit: 0xc000003e,
    refused: [
      101,
      103,
      153,
      155,
      163,
      164,
      165,
      166,
      167,
      168,
      169,
      172,
      173,
      175,
      176,
      179,
      227,
      246,
      248,
      249,
      250,
      272,
      298,
      303,
      304,
      305,
      308,
      310,
      311,
      312,
      313,
      320,
      321,
      323,
      ...common,
    ],
    refusedBits: [
      [56, 0, namespaceBits],
      [85, 1, setIdBits],
      [90, 1, setIdBits],
      [91, 1, setIdBits],
      [133, 1, setIdBits],
      [259, 2, setIdBits],
      [268, 2, setIdBits],
      [452, 2, setIdBits],
    ],
    creating: [
      [2, 1, 2],
      [257, 2, 3],
    ],
    socket: 41,
    ioctl: 16,
  },
  arm64: {
    audit: 0xc00000b7,
    refused: [
      39,
      40,
      41,
      60,
      89,
      97,
      104,
      105,
      106,
      112,
      116,
      117,
      142,
      170,
      217,
      218,
      219,
      224,
      225,
      241,
      264,
      265,
      266,
      268,
      270,
      271,
      272,
      273,
      280,
      282,
      294,
      ...common,
    ],
    refusedBits: [
      [220, 0, namespaceBits],
      [33, 2, setIdBits],
      [52, 1, setIdBits],
      [53, 2, setIdBits],
      [452, 2, setIdBits],
    ],
    creating: [[56, 2, 3]],
    socket: 198,
    ioctl: 29,
  },
};

const load = (offset: number): Instruction => [0x20, 0, 0, offset];
/** Both architectures are little-endian: the low half of a 64-bit argument comes first. */
const loadArgument = (argument: number): Instruction => load(16 + 8 * argument);
const jumpIf = (test: number, value: number, whenTrue: number, whenFalse: number): Instruction => [
  test,
  whenTrue,
  whenFalse,
  value,
];
const fail = (errno: number): Instruction => [0x06, 0, 0, 0x00050000 | errno];
const allow: Instruction = [0x06, 0, 0, 0x7fff0000];

/** Runs `body` for one call; afterwards the number is loaded again for the next test. */
function whenCalled(nr: number, body: readonly Instruction[]): readonly Instruction[] {
  return [jumpIf(equal, nr, 0, body.length + 1), ...body, load(0)];
}

function assemble(code: readonly Instruction[]): Uint8Array {
  const bytes = Buffer.alloc(code.length * 8);
  for (const [index, [op, whenTrue, whenFalse, value]] of code.entries()) {
    bytes.writeUInt16LE(op, index * 8);
    bytes.writeUInt8(whenTrue, index * 8 + 2);
    bytes.writeUInt8(whenFalse, index * 8 + 3);
    bytes.writeUInt32LE(value >>> 0, index * 8 + 4);
  }
  return bytes;
}
