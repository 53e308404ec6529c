// The calls of benchmarks/serve.py by Prisma Client, on each side in turn.  Prints one line of JSON for each round.
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const folder = process.env.PRISMA_FOLDER, require = createRequire(join(folder, 'package.json'))
const { chat, long, chats, rounds } = JSON.parse(process.env.BENCH)
const real = require('./generated/chat-real'), app = require('./generated/chat-app')
const { PrismaPg } = require('@prisma/adapter-pg')
const { default: octavo } = await import(pathToFileURL(join(folder, 'node_modules/octavo-prisma/index.js')))

const sides = {
  prisma: new real.PrismaClient({ adapter: new PrismaPg({ connectionString: process.env.REFERENCE_URL }) }),
  socket: new real.PrismaClient({ adapter: octavo.adapter() }).$extends(octavo({ socket: process.env.OCTAVO_SOCKET, token: process.env.OCTAVO_TOKEN })),
  loopback: new app.PrismaClient({ datasourceUrl: process.env.OCTAVO_URL }),
}
const content = 'It was a dark and stormy night. '.repeat(14)
const page = { character: true, tags: { include: { tag: true } }, messages: { orderBy: { createdAt: 'desc' }, take: 50 } }
const calls = {
  'findUnique by id': [400, (p, n) => p.chat.findUnique({ where: { id: chats[n % chats.length] } })],
  'a chat with its last 50 messages': [150, (p) => p.chat.findUnique({ where: { id: chat }, include: page })],
  'create a message': [150, (p) => p.message.create({ data: { chatId: chats[0], role: 'USER', content } })],
  'findMany of 10,000 messages': [3, (p) => p.message.findMany({ where: { chatId: long }, orderBy: { createdAt: 'asc' } })],
  'eight callers at once': [400, (p, n) => p.chat.findUnique({ where: { id: chats[n % chats.length] }, include: { character: true } }), 8],
}
async function measure(p, [times, work, callers = 1]) {
  const began = performance.now()
  const caller = async (first) => { for (let n = first; n < times; n += callers) await work(p, n) }
  await Promise.all(Array.from({ length: callers }, (_, n) => caller(n)))
  return (performance.now() - began) / times
}
for (const [name, call] of Object.entries(calls)) {
  for (const p of Object.values(sides)) await measure(p, [Math.min(call[0], 30), call[1], call[2]])
  for (let round = 0; round < rounds; round++) {
    const found = {}
    for (const [side, p] of Object.entries(sides)) found[side] = await measure(p, call)
    console.log(JSON.stringify({ name, found }))
  }
}
process.exit(0)
