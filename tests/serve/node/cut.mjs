// A connection that is cut before the answer: a read is repeated, a write is not, as it may have happened.
import assert from 'node:assert/strict'
import net from 'node:net'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const folder = join(import.meta.dirname, process.env.PRISMA), require = createRequire(join(folder, 'package.json'))
const { default: octavo } = await import(pathToFileURL(join(folder, 'node_modules/octavo-prisma/index.js')))
const { PrismaClient } = require('./generated/chat-app'), answer = '{"data":{"findFirstUser":null}}', seen = []
const server = net.createServer((socket) => {
  let requests = 0
  socket.on('data', (data) => {
    const action = /"action":"(\w+)"/.exec(data)?.[1]
    if (!action) return
    seen.push(action)
    if (requests++) socket.resetAndDestroy()
    else socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${answer.length}\r\n\r\n${answer}`)
  })
})
await new Promise((listening) => server.listen(0, '127.0.0.1', listening))
const p = new PrismaClient({ adapter: octavo.adapter() }).$extends(octavo({ url: `http://127.0.0.1:${server.address().port}`, token: 'x' }))
await p.user.findFirst()
await p.user.findFirst()
await assert.rejects(p.user.create({ data: { email: 'x' } }), { code: 'P1001' })
assert.deepEqual(seen, ['findFirst', 'findFirst', 'findFirst', 'createOne'])
process.exit(0)
