// The search for chunk borders, as WebAssembly: restic's Rabin fingerprint over 64 bytes, several stretches at a time.
//
// One step of the digest waits for the step before it, about ten cycles of which the processor works two. But after
// 64 bytes a digest depends on those alone, so neighbouring stretches of the same bytes can be searched side by side in
// one loop, each primed with the 64 bytes before it; the border is then the first one that any of them found.
import {
  block,
  type Code,
  get,
  i32,
  i64,
  jumpIf,
  leave,
  loop,
  module,
  type Routine,
  set,
  tee,
  when,
} from './assembler.ts'

/** Bytes in the window. */
const window = 64
/** A border is where these bits of the digest are zero: every 2^20 bytes on average. */
const splitMask = 0xfffffn
/** Where the caller puts the tables: 256 words of 8 bytes each. Nothing lies below the first: 0 means "no border". */
export const outTable = 2048
export const modTable = 4096
/** The first byte after the tables. */
export const dataStart = 8192
const wordShift = 3
/** The top byte of a digest of 53 bits begins at bit 45; as an offset into a table of words, at 42. */
const topShift = 42n
const topMask = 0x7f8n
/** Measured on random bytes: one lane 525 MB/s, two 1,010, three 1,260, five 1,320, six and eight less. */
export const lanes = 5
/** Bytes per lane and round. Shorter ones are primed more often, longer ones look further beyond a border. */
export const stretch = 8192
/** 1 GiB: as much as a caller may want to share. */
const maximumPages = 16_384

/** digest = (digest « 8 | entering byte), reduced by the byte that is pushed out on top. */
function append(digest: number, entering: Code): Code {
  return [
    ...[get(digest), i64.const(8n), i64.shl, entering, i64.or],
    ...[get(digest), i64.const(topShift), i64.shiftRightUnsigned, i64.const(topMask), i64.and],
    ...[i64.toI32, i64.load(modTable), i64.xor, set(digest)],
  ]
}

/** Take the share of the byte that leaves the window out of the digest. `address` is where that byte lies. */
function remove(digest: number, address: Code, offset: number): Code {
  return [
    ...[get(digest), address, i32.load8u(offset), i32.const(wordShift), i32.shl],
    ...[i64.load(outTable), i64.xor, set(digest)],
  ]
}

const isBorder = (digest: number): Code => [get(digest), i64.const(splitMask), i64.and, i64.isZero]

const increase = (local: number, by: number): Code => [
  get(local),
  i32.const(by),
  i32.add,
  set(local),
]

/**
 * `name(at, end)`: the first border in [at, end), or 0. A border at p means that the 64 bytes before p have a digest
 * that ends in 20 zero bits. With more than one lane, `end − at` must be a multiple of all their stretches.
 */
function findCut(name: string, laneCount: number, bytesPerLane: number | undefined): Routine {
  const [at, limit, stop, tail, best, border, first] = [0, 1, 2, 3, 4, 5, 6] as const
  const digests = Array.from({ length: laneCount }, (_, lane) => first + lane)
  const offset = (lane: number) => lane * (bytesPerLane ?? 0)
  const remember = (digest: number, lane: number): Code => [
    isBorder(digest),
    // `tail` is the window's first byte, so the border lies 64 bytes behind it.
    when(
      ...[get(tail), i32.const(window + offset(lane)), i32.add, tee(border)],
      // 0 for none becomes the largest number there is.
      ...[get(best), i32.const(1), i32.sub, i32.lessUnsigned],
      when(get(border), set(best)),
    ),
  ]
  const round: Code = [
    digests.map((digest) => [i64.const(0n), set(digest)]),
    // The windows before the first byte of each stretch.
    ...[get(at), i32.const(window), i32.sub, set(tail)],
    loop(
      digests.map((digest, lane) => append(digest, [get(tail), i64.load8u(offset(lane))])),
      increase(tail, 1),
      ...[get(tail), get(at), i32.lessUnsigned, jumpIf(0)],
    ),
    ...[get(at), i32.const(window), i32.sub, set(tail)],
    digests.map((digest, lane) => remember(digest, lane)),
    // Where the window of the last border of the first stretch begins.
    bytesPerLane === undefined ? get(limit) : [get(at), i32.const(bytesPerLane), i32.add],
    ...[i32.const(window + 1), i32.sub, set(stop)],
    block(
      ...[get(tail), get(stop), i32.lessUnsigned, i32.isZero, jumpIf(0)],
      loop(
        digests.map((digest, lane) => [
          remove(digest, get(tail), offset(lane)),
          append(digest, [get(tail), i64.load8u(offset(lane) + window)]),
        ]),
        increase(tail, 1),
        digests.map((digest, lane) => remember(digest, lane)),
        ...[get(tail), get(stop), i32.lessUnsigned, jumpIf(0)],
      ),
    ),
    ...[get(best), when(get(best), leave)],
  ]
  return {
    name,
    parameters: ['i32', 'i32'],
    result: 'i32',
    locals: ['i32', 'i32', 'i32', 'i32', ...digests.map(() => 'i64' as const)],
    body: [
      bytesPerLane === undefined
        ? round
        : loop(
            round,
            increase(at, laneCount * bytesPerLane),
            ...[get(at), get(limit), i32.lessUnsigned, jumpIf(0)],
          ),
      i32.const(0),
    ],
  }
}

/** The module's bytes: `findWide` for whole rounds of all lanes, `findNarrow` for what is left. */
export function findCutModule(laneCount = lanes, bytesPerLane = stretch): Uint8Array {
  return module(
    [findCut('findWide', laneCount, bytesPerLane), findCut('findNarrow', 1, undefined)],
    maximumPages,
  )
}
