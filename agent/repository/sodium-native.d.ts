// sodium-native ships no types; this is the one call we make (libsodium documentation, "One-time authentication").
declare module 'sodium-native' {
  const sodium: {
    /** Poly1305 of `message` under the 32-byte one-time `key`, written into the 16 bytes of `tag`. */
    crypto_onetimeauth(tag: Uint8Array, message: Uint8Array, key: Uint8Array): void
  }
  export default sodium
}
