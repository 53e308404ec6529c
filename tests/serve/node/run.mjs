// node run.mjs SET: runs a set of calls by DATABASE_URL alone, on an empty store, and compares with Prisma's answers
// node run.mjs SET record: runs it by Prisma's own engine on REFERENCE_URL, an empty PostgreSQL, and keeps the answers
// EXCEPT names calls whose answers are not compared, as a JSON list.
// PRISMA names the version's folder (prisma-6); OCTAVO_SOCKET and OCTAVO_TOKEN have its engine exchanged instead.
import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const here = import.meta.dirname, [set, record] = process.argv.slice(2)
const folder = join(here, process.env.PRISMA ?? 'prisma-6'), require = createRequire(join(folder, 'package.json'))
const { calls, schema } = await import(`./calls/${set}.mjs`)
const file = join(here, 'expected', `${set}.json`)

async function reference() {
  const { PrismaClient, Prisma } = require(`./generated/${schema}-real`)
  const pg = require('pg'), { PrismaPg } = require('@prisma/adapter-pg'), connectionString = process.env.REFERENCE_URL
  const database = new pg.Client({ connectionString })
  await database.connect()
  await database.query(readFileSync(join(here, 'schemas', `${schema}.sql`), 'utf8'))
  await database.end()
  return [new PrismaClient({ adapter: new PrismaPg({ connectionString }) }), Prisma]
}

async function application() {
  const { OCTAVO_SOCKET: socket, OCTAVO_URL: url, OCTAVO_TOKEN: token } = process.env
  const side = token && folder.endsWith('6') ? 'real' : 'app'
  const { PrismaClient, Prisma } = require(`./generated/${schema}-${side}`)
  if (!token) return [new PrismaClient(), Prisma]
  const { default: octavo } = await import(pathToFileURL(join(folder, 'node_modules/octavo-prisma/index.js')))
  return [new PrismaClient({ adapter: octavo.adapter() }).$extends(octavo(socket ? { socket, token } : { url, token })), Prisma]
}

const began = Date.now() - 1000, UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g
/** A value with its types; moments of this run and generated ids are made alike. */
function shape(v) {
  if (v === undefined) return 'undefined'
  if (v === null) return null
  if (v instanceof Date) return { Date: isNaN(v) ? 'invalid' : v.getTime() >= began && v.getTime() < 1.9e12 ? 'now' : v.toISOString() }
  if (typeof v === 'bigint') return { BigInt: String(v) }
  if (Object.is(v, -0)) return { Number: '-0' }
  if (v instanceof Uint8Array) return { Bytes: Buffer.from(v).toString('hex') }
  if (typeof v === 'object' && typeof v.toFixed === 'function') return { Decimal: v.toString() }
  if (Array.isArray(v)) return v.map(shape)
  if (typeof v === 'object') return Object.fromEntries(Object.keys(v).sort().map((k) => [k, shape(v[k])]))
  if (typeof v === 'string') return v.replace(UUID, (u) => (/^(1111|2222)/.test(u) ? u : '<uuid>'))
  return v
}
const failure = (e) => ({ error: e?.constructor?.name ?? typeof e, code: e?.code ?? null, meta: shape(e?.meta ?? null), message: String(e?.message ?? e).split('\n').filter(Boolean).at(-1) })
/** Equal, or an error of equal class and code. */
const equal = (x, y) => JSON.stringify(x) === JSON.stringify(y) || Boolean(x?.error && x.error === y?.error && x.code === y.code)
const line = (x) => JSON.stringify(x)?.slice(0, 600)

const expected = record ? {} : JSON.parse(readFileSync(file))
const [p, Prisma] = record ? await reference() : await application(), answers = {}
const except = JSON.parse(process.env.EXCEPT ?? '[]')
let right = 0
for (const [name, call] of calls) {
  answers[name] = await Promise.resolve().then(() => call(p, Prisma)).then((v) => ({ value: shape(v) }), failure).then((x) => JSON.parse(JSON.stringify(x)))
  if (record) continue
  if (except.includes(name) || equal(expected[name], answers[name])) right++
  else console.log(`${name}\n    expected ${line(expected[name])}\n    got      ${line(answers[name])}`)
  if (process.env.MESSAGES && expected[name].message !== answers[name].message) console.log(`${name}: message\n    expected ${expected[name].message}\n    got      ${answers[name].message}`)
}
if (record) writeFileSync(file, JSON.stringify(answers, null, 1) + '\n')
console.log(record ? `${calls.length} answers written` : `${right} of ${calls.length} as expected`)
process.exit(record || right === calls.length ? 0 : 1)
