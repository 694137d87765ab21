// A dump as mysqldump writes it: extended inserts of a clinic's tables, every column of another kind.
import { createHash } from 'node:crypto'
import { closeSync, openSync, writeSync } from 'node:fs'

/** Bytes made in one go; a dump is a chain of such stretches, each a few tables' inserts. */
const STRETCH = 4 << 20
/** mysqldump ends an insert at `net_buffer_length`, about 1 MiB. */
const INSERT = 1 << 20

/** Whole numbers from 0 to n - 1, fast and the same for the same seed (mulberry32). */
export type Dice = (n: number) => number

export function createDice(seed: string): Dice {
  let state = createHash('sha256').update(seed).digest().readUInt32LE()
  return (n) => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) % n
  }
}

const list = (text: string) => text.split(' ')
const firstNames = list(
  'Anna Peter Maria Jonas Elif Noah Sofia Liam Mia Emil Hanna Luca Nora Felix Clara Amir Ida Oskar Lena Karl Zoe Theo Frieda Anton Leni Paul Marta Ben Alma Finn',
)
const lastNames = list(
  'Meier Schmidt Fischer Weber Wagner Becker Hoffmann Koch Richter Klein Wolf Neumann Schwarz Braun Zimmermann Hartmann Krause Lehmann Werner Huber Peters Lang Busch Kuhn Vogel Jansen Keller Berger Winkler Lorenz',
)
const streets = list(
  'Hauptstr. Bahnhofstr. Gartenweg Lindenallee Schulstr. Bergstr. Ringstr. Am-Markt',
)
const cities = list('Berlin Hamburg Bremen Leipzig Dresden Kassel Bonn Mainz Ulm Jena Kiel Essen')
const states = list('open closed pending cancelled no-show billed')
const nouns = list(
  'patient pain therapy dosage allergy fever knee shoulder rest medication blood pressure sample result referral x-ray follow-up visit week month daily twice reports denies improved stable worse since yesterday chronic acute left right severe mild advised prescribed continue reduce increase check lab value normal elevated history family mother father surgery none known after before meals sleep cough breathing heart rate weight loss gain appetite',
)
const codes = list('J06.9 M54.5 I10 E11.9 K21.0 F41.1 R51 N39.0 L20.9 H66.9 Z00.0 S93.4')

const two = (n: number) => (n < 10 ? `0${n}` : String(n))
const date = (d: Dice) => `${1940 + d(80)}-${two(1 + d(12))}-${two(1 + d(28))}`
const pick = (d: Dice, from: readonly string[]) => from[d(from.length)]!
const hex = (d: Dice) => d(0x1_0000_0000).toString(16).padStart(8, '0')

/** Seconds move on as they do in a table that grew over the years. */
const stamp = (i: number, d: Dice) => {
  const minutes = i * 3 + d(3)
  const days = Math.floor(minutes / 1_440)
  const year = 2015 + (Math.floor(days / 336) % 10)
  const month = 1 + (Math.floor(days / 28) % 12)
  const time = `${two(Math.floor(minutes / 60) % 24)}:${two(minutes % 60)}:${two(d(60))}`
  return `${year}-${two(month)}-${two(1 + (days % 28))} ${time}`
}

function note(d: Dice): string {
  let text = pick(d, nouns)
  for (let left = 6 + d(30); left > 0; left--) text += ` ${pick(d, nouns)}`
  return text
}

const tables: readonly (readonly [name: string, row: (i: number, d: Dice) => string])[] = [
  [
    'patients',
    (i, d) => {
      const [first, last] = [pick(d, firstNames), pick(d, lastNames)]
      const mail = `${first}.${last}${d(1_000)}@example.org`.toLowerCase()
      const home = `${pick(d, streets)} ${1 + d(200)}`
      return `(${i},'${first}','${last}','${date(d)}','${d(2) ? 'F' : 'M'}','${mail}','+49 ${150 + d(30)} ${1_000_000 + d(9_000_000)}','${home}','${10_000 + d(90_000)}','${pick(d, cities)}',${d(4) ? 'NULL' : `'${pick(d, codes)}'`},'${stamp(i, d)}')`
    },
  ],
  [
    'visits',
    (i, d) =>
      `(${i},${d(400_000)},${d(60)},'${stamp(i, d)}','${pick(d, states)}','${pick(d, codes)}','${note(d)}',${d(10) ? 'NULL' : d(5)},0)`,
  ],
  [
    'invoices',
    (i, d) =>
      `(${i},${d(400_000)},'RE-${2015 + d(10)}-${100_000 + i}',${d(900)}.${two(d(100))},19.00,'EUR','${pick(d, states)}','${date(d)}',${d(3) ? `'${stamp(i, d)}'` : 'NULL'})`,
  ],
  [
    'sessions',
    (i, d) =>
      `('${hex(d)}${hex(d)}',${d(5_000)},'10.${d(4)}.${d(256)}.${d(256)}','Mozilla/5.0 (X11; Linux x86_64; rv:${90 + d(40)}.0) Gecko/20100101 Firefox/${90 + d(40)}.0','${stamp(i, d)}')`,
  ],
  [
    'audit_trail',
    (i, d) =>
      `(${i},'${stamp(i, d)}',${d(300)},'${pick(d, states)}','patients',${d(400_000)},'{"field":"${pick(d, nouns)}","old":"${pick(d, nouns)}","new":"${pick(d, nouns)} ${d(100)}"}')`,
  ],
]

/** Writes exactly `bytes` bytes of dump to `path`, the same for the same seed. zstd shrinks them to about a quarter. */
export function writeSql(path: string, bytes: number, seed: string): void {
  const fd = openSync(path, 'w')
  const dice = createDice(`sql ${seed}`)
  let row = 1
  let table = 0
  try {
    for (let at = 0; at < bytes; table++) {
      const [name, make] = tables[table % tables.length]!
      const lines: string[] = []
      for (let length = 0; length < STRETCH; ) {
        let insert = `INSERT INTO \`${name}\` VALUES ${make(row++, dice)}`
        while (insert.length < INSERT) insert += `,${make(row++, dice)}`
        lines.push(`${insert};\n`)
        length += insert.length
      }
      const head = `\n-- Dumping data for table \`${name}\`\n\nLOCK TABLES \`${name}\` WRITE;\n`
      const text = Buffer.from(`${head}${lines.join('')}UNLOCK TABLES;\n`, 'latin1')
      at += writeSync(fd, text, 0, Math.min(text.length, bytes - at))
    }
  } finally {
    closeSync(fd)
  }
}
