// The arithmetic that every byte of a repository goes through: hash, cipher, MAC, compression.
import { nativePrimitives } from './primitives-native.ts'

/**
 * All results go into buffers the caller gives, which may lie in shared memory; nothing is kept. A buffer of a
 * wrong length is a RangeError: the native code behind this would read or write past its end.
 */
export interface Primitives {
  readonly name: 'native' | 'portable'
  /** Copy `from` into `into`, which is as long. Between shared and other memory `set` goes word by word. */
  copy(from: Uint8Array, into: Uint8Array): void
  /** Write the 32-byte SHA-256 of `bytes` into `digest`. */
  sha256(bytes: Uint8Array, digest: Uint8Array): void
  /** Write the 16-byte MD5 of `bytes` into `digest`. */
  md5(bytes: Uint8Array, digest: Uint8Array): void
  /** AES-256 in counter mode, which is its own inverse. `into` is as long as `from`; the two may be the same bytes. */
  aes256Ctr(key: Uint8Array, iv: Uint8Array, from: Uint8Array, into: Uint8Array): void
  /** The SHA-256 of what `aes256Ctr` makes of `from`, which is not kept: no more memory than one slice. */
  hashDecrypted(key: Uint8Array, iv: Uint8Array, from: Uint8Array, digest: Uint8Array): void
  /** One block of AES-128: 16-byte key, 16 bytes in, 16 bytes out. */
  aes128Block(key: Uint8Array, block: Uint8Array, into: Uint8Array): void
  /** Write the 16-byte Poly1305 tag (RFC 8439, 2.5) of `message` under the 32-byte key `r ‖ s`. r is clamped here. */
  poly1305(tag: Uint8Array, message: Uint8Array, key: Uint8Array): void
  /**
   * `plain` as one zstd frame with its content size and without a checksum, written into `into`. Returns its
   * length in bytes, 0 if it does not fit: a buffer shorter than `plain` asks whether compression is worth it.
   */
  compress(plain: Uint8Array, level: number, into: Uint8Array): number
  /**
   * What the zstd frames of `packed` hold, in a buffer of its own. Rejects with `too-large` beyond `limit` bytes
   * and with `damaged` for anything else; never takes more memory than `limit` asks for.
   */
  decompress(packed: Uint8Array, limit: number): Buffer
  /** As `decompress`, into a buffer whose length is the limit. Returns the length in bytes. */
  decompressInto(packed: Uint8Array, into: Uint8Array): number
  /** The SHA-256 of what the single frame `packed` holds, which is not kept. Returns its length; rejects with `damaged`. */
  hashDecompressed(packed: Uint8Array, digest: Uint8Array): number
}

const native = nativePrimitives()

/** Node's own OpenSSL and zstd, called without copies; where they cannot be reached, slower ways to the same bytes. */
export const primitives: Primitives =
  native ?? (await import('./primitives-portable.ts')).portablePrimitives
