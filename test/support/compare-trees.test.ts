import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { makeSpecialFile } from '../../agent/native/special-file.ts'
import { makeAwkwardTree } from './awkward-tree.ts'
import { type CompareOptions, compareTrees } from './compare-trees.ts'
import { changeBody } from './tree-body.ts'

let base: string
let left: string
let right: string
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'holdfast-compare-'))
  left = join(base, 'left')
  right = join(base, 'right')
  mkdirSync(left)
})
afterEach(() => rmSync(base, { recursive: true }))

/** A copy that GNU cp vouches for, made by a program that is not ours. */
function copy(): void {
  execFileSync('cp', ['-a', '--sparse=always', left, right])
}

function shell(script: string): void {
  execFileSync('sh', ['-ec', script], { cwd: base, stdio: ['ignore', 'ignore', 'inherit'] })
}

function differences(options?: CompareOptions) {
  return compareTrees(left, right, options).differences.map((d) => `${d.path}: ${d.aspect}`)
}

test('a copy of an awkward tree by GNU cp shows no difference, and all of it was looked at', () => {
  const leftOut = makeAwkwardTree(left, { bodyBytes: 2 << 20, seed: 'compare' })
  expect(leftOut).toEqual([])
  copy()
  const comparison = compareTrees(left, right)
  expect(comparison.differences).toEqual([])
  const counted = execFileSync('sh', ['-c', 'find left -printf x | wc -c'], { cwd: base })
  expect(comparison.entries).toBe(Number(counted))
  expect(comparison.bytes).toBeGreaterThan(60 << 20)
})

const cases: [what: string, change: string, expected: string[]][] = [
  ['a file missing', 'rm right/d/f', ['d/f: missing']],
  ['a file too many', 'touch -r left/d right/d/new; touch -r left/d right/d', ['d/new: extra']],
  ['another type', 'rm right/d/f; ln -s x right/d/f', ['d/f: type']],
  ['one mode bit', 'chmod u+s right/d/f', ['d/f: mode']],
  ['another owner', 'chown 5 right/d/f', ['d/f: owner']],
  ['another group of a symlink', 'chgrp -h 5 right/d/l', ['d/l: owner']],
  ['one nanosecond', 'touch -d "2020-01-01 00:00:00.000000002" right/d/f', ['d/f: mtime']],
  ['the mtime of a symlink', 'touch -h -d 2001-01-01 right/d/l', ['d/l: mtime']],
  ['an attribute more', 'setfattr -n user.x -v y right/d/f', ['d/f [user.x]: xattrs']],
  ['an attribute less', 'setfattr -x user.k right/d/f', ['d/f [user.k]: xattrs']],
  ['another attribute value', 'setfattr -n user.k right/d/f', ['d/f [user.k]: xattrs']],
  ['an ACL', 'setfacl -m u:7:r right/d/f', ['d/f [system.posix_acl_access]: xattrs']],
  ['a default ACL', 'setfacl -d -m u:7:r right/d', ['d [system.posix_acl_default]: xattrs']],
  ['another target', 'ln -sfn other right/d/l', ['d/l: target']],
  ['another device', 'rm right/c; mknod right/c c 1 5', ['c: device']],
  ['one byte', 'printf X | dd of=right/d/f conv=notrunc', ['d/f: content']],
  ['one byte more', 'printf X >> right/d/f', ['d/f: size', 'd/f: content']],
  [
    'a link cut',
    'cp -a right/h1 right/t; mv right/t right/h1',
    ['h1: hard-links', 'h2: hard-links'],
  ],
  ['a hole filled', 'cp --sparse=never left/s right/s', ['s: allocation-grew']],
  ['a hole made', 'fallocate -p -o 0 -l 2M right/z', ['z: allocation-shrank']],
  ['the mode of the root', 'chmod 701 right', ['.: mode']],
  ['an attribute of the root', 'setfattr -n user.r -v 1 right', ['. [user.r]: xattrs']],
  ['the mtime of the root', 'touch -d 2002-02-02 right', ['.: mtime']],
]

/** Each case changes one thing; times that change along are put back. */
function makeSmallTree(): void {
  shell(`cd left
    mkdir d; printf content > d/f; setfattr -n user.k -v v d/f; ln -s to d/l; mknod c c 1 3
    printf h > h1; ln h1 h2; truncate -s 4M s; dd if=/dev/zero of=z bs=1M count=4 status=none
    touch -h -d '2020-01-01 00:00:00.000000001' d/f d/l c h1 s z d .`)
}

test.each(cases)('%s is found, and nothing else', (_, change, expected) => {
  makeSmallTree()
  shell('cp -a --sparse=auto left right')
  expect(differences()).toEqual([])
  shell(change)
  const touched = expected.some((line) => line.endsWith(': mtime'))
  const got = differences(touched ? {} : { ignore: ['mtime'] })
  expect(got.sort()).toEqual(expected.toSorted())
})

test('sockets are ignored only if that was asked for', () => {
  makeSmallTree()
  shell('cp -a --sparse=auto left right')
  makeSpecialFile(join(left, 'sock'), 'socket', 0n)
  expect(differences({ ignore: ['mtime'] })).toEqual(['sock: missing'])
  expect(differences({ ignore: ['mtime'], ignoreSockets: true })).toEqual([])
})

test('names come out readable whatever bytes they hold', () => {
  mkdirSync(right)
  shell(`touch "left/$(printf 'a\\377\\n\\\\b')"`)
  expect(differences({ ignore: ['mtime'] })).toEqual(['a\\xff\\x0a\\x5cb: missing'])
})

test('a comparison with something that is not there throws instead of passing', () => {
  expect(() => compareTrees(left, right)).toThrow(expect.objectContaining({ code: 'ENOENT' }))
})

test('the same seed makes the same tree, another seed another', () => {
  mkdirSync(right)
  makeAwkwardTree(left, { bodyBytes: 1 << 20, seed: 'a' })
  makeAwkwardTree(right, { bodyBytes: 1 << 20, seed: 'a' })
  const now = { ignore: ['mtime'] as const } // of what nobody gave a time
  expect(differences(now)).toEqual([])
  rmSync(right, { recursive: true })
  mkdirSync(right)
  makeAwkwardTree(right, { bodyBytes: 1 << 20, seed: 'b' })
  expect(differences(now).length).toBeGreaterThan(10)
})

test('a change touches about one percent of the bytes, by every kind of change', () => {
  makeAwkwardTree(left, { bodyBytes: 24 << 20, seed: 'change' })
  copy()
  const change = changeBody(join(right, 'body'), 'first')
  const aspects = new Set(compareTrees(left, right).differences.map((d) => d.aspect))
  expect([...aspects].sort()).toEqual(
    expect.arrayContaining(['content', 'extra', 'missing', 'size']),
  )
  expect(change.bytes).toBe(Math.floor((24 << 20) / 100))
  expect(change.filesChanged + change.filesAdded).toBeGreaterThan(1)
})
