// Poly1305 (RFC 8439, 2.5) over a whole message with a one-time key, in plain JavaScript.

/** Write the 16-byte tag of `message` under the 32-byte key `r ‖ s` into `tag`. r is clamped here. */
export type OneTimeAuth = (tag: Uint8Array, message: Uint8Array, key: Uint8Array) => void

const limbBits = 22
const limb = 2 ** limbBits // six limbs of 22 bits hold 132 bits; every sum below stays under 2^53
const mask = limb - 1
const wrap = 20 // 2^132 = 4 · 2^130 ≡ 4 · 5 modulo 2^130 − 5

/** For a Node that does not lay open its own library. Several times slower, not constant-time on BigInt. */
export const portableOneTimeAuth: OneTimeAuth = (tag, message, key) => {
  const keyView = new DataView(key.buffer, key.byteOffset, 32)
  const r = split(
    keyView.getUint32(0, true) & 0x0fffffff,
    keyView.getUint32(4, true) & 0x0ffffffc,
    keyView.getUint32(8, true) & 0x0ffffffc,
    keyView.getUint32(12, true) & 0x0ffffffc,
    0,
  )
  let h: Limbs = [0, 0, 0, 0, 0, 0]
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength)
  const whole = message.byteLength - (message.byteLength % 16)
  for (let i = 0; i < whole; i += 16) h = addMultiply(h, blockAt(view, i, 1), r)
  if (whole < message.byteLength) {
    // A short last block is closed by a one bit, then filled with zeros.
    const last = new Uint8Array(16)
    last.set(message.subarray(whole))
    last[message.byteLength - whole] = 1
    h = addMultiply(h, blockAt(new DataView(last.buffer), 0, 0), r)
  }
  let sum = 0n
  for (let i = 5; i >= 0; i--) sum = (sum << BigInt(limbBits)) + BigInt(h[i]!)
  sum %= 2n ** 130n - 5n
  sum += keyView.getBigUint64(16, true) + (keyView.getBigUint64(24, true) << 64n)
  const out = new DataView(tag.buffer, tag.byteOffset, 16)
  out.setBigUint64(0, BigInt.asUintN(64, sum), true)
  out.setBigUint64(8, BigInt.asUintN(64, sum >> 64n), true)
}

type Limbs = [number, number, number, number, number, number]

function blockAt(view: DataView, at: number, high: number): Limbs {
  return split(
    view.getUint32(at, true),
    view.getUint32(at + 4, true),
    view.getUint32(at + 8, true),
    view.getUint32(at + 12, true),
    high,
  )
}

function split(w0: number, w1: number, w2: number, w3: number, high: number): Limbs {
  return [
    w0 & mask,
    ((w0 >>> 22) | (w1 << 10)) & mask,
    ((w1 >>> 12) | (w2 << 20)) & mask,
    (w2 >>> 2) & mask,
    ((w2 >>> 24) | (w3 << 8)) & mask,
    (w3 >>> 14) + high * 2 ** 18,
  ]
}

function addMultiply(h: Limbs, block: Limbs, r: Limbs): Limbs {
  const out: Limbs = [0, 0, 0, 0, 0, 0]
  for (let i = 0; i < 6; i++) {
    const a = h[i]! + block[i]!
    for (let j = 0; j < 6; j++) {
      const k = i + j
      if (k < 6) out[k]! += a * r[j]!
      else out[k - 6]! += a * r[j]! * wrap
    }
  }
  let carry = 0
  for (let i = 0; i < 6; i++) {
    const t = out[i]! + carry
    carry = Math.floor(t / limb)
    out[i] = t - carry * limb
  }
  // What is left above bit 132 comes back in at the bottom; one more step keeps limb 0 small.
  const low = out[0] + carry * wrap
  const over = Math.floor(low / limb)
  out[0] = low - over * limb
  out[1] += over
  return out
}
