// Transactions within a transaction (Prisma 7) are kept or taken back by themselves.
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const folder = join(import.meta.dirname, process.env.PRISMA), require = createRequire(join(folder, 'package.json'))
const { default: octavo } = await import(pathToFileURL(join(folder, 'node_modules/octavo-prisma/index.js')))
const { PrismaClient } = require('./generated/chat-app'), { OCTAVO_SOCKET: socket, OCTAVO_TOKEN: token } = process.env
const p = new PrismaClient({ adapter: octavo.adapter() }).$extends(octavo({ socket, token }))
const user = (id) => ({ data: { id, email: `${id}@example.org` } })
await p.$transaction(async (tx) => {
  await tx.user.create(user('outer'))
  await tx.$transaction(async (inner) => {
    await inner.user.create(user('kept'))
    await assert.rejects(inner.$transaction(async (innermost) => {
      await innermost.user.create(user('innermost'))
      throw new Error('mine')
    }), /mine/)
    assert.equal(await inner.user.count(), 2)
  })
  await assert.rejects(tx.$transaction(async (inner) => {
    await inner.user.create(user('gone'))
    await inner.user.create(user('kept'))
  }), { code: 'P2002' })
  await tx.user.create(user('after'))
})
const found = await p.user.findMany({ select: { id: true }, orderBy: { id: 'asc' } })
assert.deepEqual(found.map((x) => x.id), ['after', 'kept', 'outer'])
await assert.rejects(p.$transaction(async (tx) => {
  await tx.$transaction((inner) => inner.user.create(user('lost')))
  throw new Error('outer')
}), /outer/)
assert.equal(await p.user.count(), 3)
process.exit(0)
