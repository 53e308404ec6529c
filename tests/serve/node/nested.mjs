// A transaction within a transaction (Prisma 7) is refused, and the outer one goes on.
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const folder = join(import.meta.dirname, process.env.PRISMA), require = createRequire(join(folder, 'package.json'))
const { default: octavo } = await import(pathToFileURL(join(folder, 'node_modules/octavo-prisma/index.js')))
const { PrismaClient } = require('./generated/chat-app'), { OCTAVO_SOCKET: socket, OCTAVO_TOKEN: token } = process.env
const p = new PrismaClient({ adapter: octavo.adapter() }).$extends(octavo({ socket, token }))
const id = '11111111-1111-4111-8111-111111111111'
await p.$transaction(async (tx) => {
  await tx.user.create({ data: { id, email: 'ada@example.org' } })
  await assert.rejects(tx.$transaction(async (inner) => inner.user.count()), { code: 'P2028', message: /nested/ })
})
assert.equal((await p.user.findUnique({ where: { id } })).email, 'ada@example.org')
process.exit(0)
