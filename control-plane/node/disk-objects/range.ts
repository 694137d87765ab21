// The one form of Range that readers of packs use.

/**
 * The bytes asked for by a `Range` header of an object of `size` bytes: `[from, to)`, `whole` if the
 * header asks for nothing we know (RFC 9110 says to ignore it then), or `none` if nothing of it exists.
 */
export function readRange(
  header: string | undefined,
  size: number,
): { readonly from: number; readonly to: number } | 'whole' | 'none' {
  const match = header === undefined ? null : /^bytes=([0-9]{0,15})-([0-9]{0,15})$/.exec(header)
  if (match === null) return 'whole'
  const [, first = '', last = ''] = match
  if (first === '') {
    if (last === '') return 'whole'
    const length = Math.min(Number(last), size)
    return length === 0 ? 'none' : { from: size - length, to: size }
  }
  const from = Number(first)
  if (last !== '' && Number(last) < from) return 'whole'
  if (from >= size) return 'none'
  return { from, to: last === '' ? size : Math.min(Number(last) + 1, size) }
}
