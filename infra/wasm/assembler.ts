// As much of a WebAssembly assembler as our one module needs: instructions in, the module's bytes out.
// Numbers are those of the WebAssembly Core Specification 2.0 (with threads, for shared memory), chapter 5.

/** Encoded instructions, in any nesting; `module` flattens them. */
export type Code = readonly (number | Code)[]

/** An unsigned number in LEB128. */
function unsigned(value: number): number[] {
  const bytes: number[] = []
  let rest = value
  do {
    const low = rest % 128
    rest = Math.floor(rest / 128)
    bytes.push(rest > 0 ? low | 0x80 : low)
  } while (rest > 0)
  return bytes
}

/** A signed number in LEB128. */
function signed(value: bigint): number[] {
  const bytes: number[] = []
  for (let rest = value; ; ) {
    const low = Number(rest & 0x7fn)
    rest >>= 7n
    const done = (rest === 0n && (low & 0x40) === 0) || (rest === -1n && (low & 0x40) !== 0)
    bytes.push(done ? low : low | 0x80)
    if (done) return bytes
  }
}

const empty = 0x40 // the type of a block that leaves nothing on the stack
const end = 0x0b

/** A load names its natural alignment (as a power of two) and an offset added to the address. */
const load =
  (opcode: number, alignment: number) =>
  (offset: number): Code => [opcode, alignment, ...unsigned(offset)]

const plain = (opcode: number): Code => [opcode]

export const i32 = {
  const: (value: number): Code => [0x41, ...signed(BigInt(value))],
  load8u: load(0x2d, 0),
  add: plain(0x6a),
  sub: plain(0x6b),
  isZero: plain(0x45),
  shl: plain(0x74),
  lessUnsigned: plain(0x49),
}

export const i64 = {
  const: (value: bigint): Code => [0x42, ...signed(value)],
  load: load(0x29, 3),
  load8u: load(0x31, 0),
  isZero: plain(0x50),
  and: plain(0x83),
  or: plain(0x84),
  xor: plain(0x85),
  shl: plain(0x86),
  shiftRightUnsigned: plain(0x88),
  toI32: plain(0xa7),
}

export const get = (local: number): Code => [0x20, ...unsigned(local)]
export const set = (local: number): Code => [0x21, ...unsigned(local)]
export const tee = (local: number): Code => [0x22, ...unsigned(local)]
export const block = (...body: Code): Code => [0x02, empty, ...body, end]
export const loop = (...body: Code): Code => [0x03, empty, ...body, end]
export const when = (...body: Code): Code => [0x04, empty, ...body, end]
/** Jump to the beginning of the `depth`th loop around here, or to the end of the `depth`th block. */
export const jumpIf = (depth: number): Code => [0x0d, ...unsigned(depth)]
export const leave = plain(0x0f)

export type ValueType = 'i32' | 'i64'
const typeCode = { i32: 0x7f, i64: 0x7e } as const

export interface Routine {
  readonly name: string
  readonly parameters: readonly ValueType[]
  readonly result: ValueType
  /** Numbered after the parameters. */
  readonly locals: readonly ValueType[]
  readonly body: Code
}

/** A module of exported routines over one imported, shared memory (`env.memory`) of up to `maximumPages` × 64 KiB. */
export function module(routines: readonly Routine[], maximumPages: number): Uint8Array {
  const list = (items: readonly number[][]) => [...unsigned(items.length), ...items.flat()]
  const section = (id: number, content: number[]) => [id, ...unsigned(content.length), ...content]
  const name = (text: string) => list([...Buffer.from(text)].map((byte) => [byte]))
  const types = (of: readonly ValueType[]) => list(of.map((type) => [typeCode[type]]))
  const memory = 0x02
  const shared = 0x03
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(
      1,
      list(routines.map((one) => [0x60, ...types(one.parameters), ...types([one.result])])),
    ),
    ...section(
      2,
      list([
        [
          ...name('env'),
          ...name('memory'),
          memory,
          shared,
          ...unsigned(1),
          ...unsigned(maximumPages),
        ],
      ]),
    ),
    ...section(3, list(routines.map((_, i) => unsigned(i)))),
    ...section(7, list(routines.map((one, i) => [...name(one.name), 0x00, ...unsigned(i)]))),
    ...section(
      10,
      list(
        routines.map((one) => {
          const code = [
            ...list(one.locals.map((type) => [1, typeCode[type]])),
            ...flatten(one.body),
            end,
          ]
          return [...unsigned(code.length), ...code]
        }),
      ),
    ),
  ])
}

function flatten(code: Code): number[] {
  return code.flatMap((part) => (typeof part === 'number' ? [part] : flatten(part)))
}
