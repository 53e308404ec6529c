// node random.mjs SEED CALLS: random calls, made from the schema's DMMF, on PostgreSQL by Prisma's own engine
// (REFERENCE_URL) and on the server by DATABASE_URL alone; prints what differs, and compares the states at the end.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'

const here = import.meta.dirname, [seed, times] = process.argv.slice(2).map(Number)
const require = createRequire(join(here, 'prisma-6/package.json')), connectionString = process.env.REFERENCE_URL
const real = require('./generated/chat-real'), app = require('./generated/chat-app')
const pg = require('pg'), { PrismaPg } = require('@prisma/adapter-pg')
const database = new pg.Client({ connectionString })
await database.connect()
await database.query(readFileSync(join(here, 'schemas/chat.sql'), 'utf8'))
await database.end()
// A client with an adapter looks at the URL, too.
const datasourceUrl = process.env.DATABASE_URL
process.env.DATABASE_URL = 'postgresql://unused'
const sides = [new real.PrismaClient({ adapter: new PrismaPg({ connectionString }) }), new app.PrismaClient({ datasourceUrl })]

// mulberry32
let state = seed
function random() {
  state = (state + 0x6d2b79f5) | 0
  let t = Math.imul(state ^ (state >>> 15), 1 | state)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296
}
const below = (n) => Math.floor(random() * n), chance = (p) => random() < p
const one = (list) => list[below(list.length)], some = (list, most = 3) => list.filter(() => chance(0.5)).slice(0, most)

const { datamodel } = app.Prisma.dmmf
const enums = Object.fromEntries(datamodel.enums.map((e) => [e.name, e.values.map((v) => v.name)]))
// Without models whose records point at files, and those whose key is not an id.
const models = datamodel.models.filter((m) => !['VerificationToken', 'Image', 'ChatFile'].includes(m.name) && m.fields.some((f) => f.isId))
const byName = Object.fromEntries(models.map((m) => [m.name, m]))
const accessor = (name) => name[0].toLowerCase() + name.slice(1)
const scalars = (m) => m.fields.filter((f) => f.kind !== 'object'), relations = (m) => m.fields.filter((f) => f.kind === 'object' && byName[f.type])
const foreign = (m) => new Map(relations(m).flatMap((r) => (r.relationFromFields ?? []).map((name) => [name, r])))
const made = Object.fromEntries(models.map((m) => [m.name, []]))
const words = ['a', 'B', 'ab', 'Zoë', '', 'ä b', '"q"', 'line\nbreak', '😀', 'null']
const NULLS = { DbNull: { null: 'DbNull' }, AnyNull: { null: 'AnyNull' } }
let count = 0

function value(m, f) {
  if (f.type in enums) return one(enums[f.type])
  switch (f.type) {
    case 'String': return one(words)
    case 'Int': return below(7) - 2
    case 'Float': return one([0.5, -1.25, 3])
    case 'Boolean': return chance(0.5)
    case 'DateTime': return new Date(1.7e12 + below(5) * 1000)
    case 'Json': return one([{ a: below(3) }, [1, 'x', null], 'text', 2.5, { s: one(words), n: { k: [true] } }])
  }
  throw new Error(f.type)
}
const key = (m) => one(made[m.name].length && chance(0.95) ? made[m.name] : ['missing'])
function data(m, isNew) {
  const found = {}, keys = foreign(m)
  for (const f of scalars(m)) {
    if (f.isId) { if (isNew) found.id = `${m.name}-${count++}` } else if (keys.has(f.name)) {
      const target = byName[keys.get(f.name).type]
      if (f.isRequired ? isNew || chance(0.1) : chance(0.4)) found[f.name] = !f.isRequired && chance(0.2) ? null : key(target)
    } else if (f.isUnique || m.uniqueFields.flat().includes(f.name)) {
      if (isNew || chance(0.2)) found[f.name] = `${f.name}-${chance(0.9) ? count++ : below(count + 1)}`
    } else if (f.type === 'DateTime' || (isNew && f.isRequired && !f.hasDefaultValue) || chance(0.4)) {
      found[f.name] = !f.isRequired && chance(0.2) ? (f.type === 'Json' ? NULLS.DbNull : null) : value(m, f)
      if (!isNew && f.type === 'Int' && chance(0.4)) found[f.name] = { [one(['increment', 'decrement', 'multiply', 'set'])]: below(4) }
    }
  }
  return found
}
function filter(m, f) {
  const v = () => (f.isId ? key(m) : foreign(m).has(f.name) ? key(byName[foreign(m).get(f.name).type]) : value(m, f))
  if (!f.isRequired && chance(0.2) && f.type !== 'Json') return chance(0.5) ? null : { not: null }
  if (f.type === 'Json') return one([{ equals: value(m, f) }, { not: value(m, f) }, { path: ['a'], equals: below(3) }, { path: ['s'], string_contains: 'a' }, { equals: NULLS.AnyNull }])
  if (f.type === 'Boolean') return one([v(), { not: v() }, { equals: v() }])
  const plain = [v(), { equals: v() }, { not: v() }, { in: [v(), v()] }, { notIn: [v(), v()] }, { in: [] }, {}]
  if (f.type in enums) return one(plain)
  plain.push({ lt: v() }, { gte: v() }, { gt: v(), lte: v() }, { not: { lt: v() } })
  if (f.type === 'String') plain.push({ contains: one(words) }, { startsWith: one(words) }, { endsWith: one(words) }, { contains: one(words), mode: 'insensitive' }, { equals: one(words), mode: 'insensitive' })
  return one(plain)
}
function where(m, depth = 0) {
  const found = {}
  for (const f of some(scalars(m), 1 + below(2))) if (chance(0.5)) found[f.name] = filter(m, f)
  if (depth < 2) {
    for (const r of some(relations(m), 1)) {
      const inner = () => where(byName[r.type], depth + 1)
      if (!chance(0.4)) continue
      if (r.isList) found[r.name] = { [one(['some', 'every', 'none'])]: inner() }
      else found[r.name] = r.isRequired ? one([{ is: inner() }, { isNot: inner() }, inner()]) : one([null, { is: null }, { isNot: null }, { is: inner() }, { isNot: inner() }])
    }
    if (chance(0.25)) found[one(['AND', 'NOT', 'OR'])] = Array.from({ length: below(3) }, () => where(m, depth + 1))
  }
  return found
}
const sorted = (m) => [...some(scalars(m).filter((f) => f.type !== 'Json'), 2).map((f) => ({ [f.name]: !f.isRequired && chance(0.3) ? { sort: one(['asc', 'desc']), nulls: one(['first', 'last']) } : one(['asc', 'desc']) })), { id: one(['asc', 'desc']) }]
function page(m) {
  const found = { orderBy: sorted(m) }
  if (chance(0.5)) found.where = where(m)
  if (chance(0.4)) found.take = below(7) - 3
  if (chance(0.3)) found.skip = below(3)
  if (chance(0.2) && made[m.name].length) found.cursor = { id: key(m) }
  // A cursor whose record is NULL in the order finds nothing in Prisma, or not all.
  if (found.cursor) found.orderBy = found.orderBy.filter((term) => m.fields.find((f) => f.name in term).isRequired)
  if (chance(0.15) && !found.cursor) found.distinct = [one(scalars(m).filter((f) => f.type !== 'Json')).name, 'id'].slice(0, 1 + below(2))
  return found
}
function shown(m, depth = 0) {
  if (chance(0.4)) return {}
  const within = (r) => (depth > 0 ? (r.isList ? { orderBy: { id: 'asc' } } : true) : { ...(r.isList ? pageOf(byName[r.type]) : {}), ...shown(byName[r.type], depth + 1) })
  const related = Object.fromEntries(some(relations(m), 2).map((r) => [r.name, within(r)]))
  const lists = relations(m).filter((r) => r.isList)
  if (lists.length && chance(0.3)) related._count = { select: { [one(lists).name]: true } }
  if (chance(0.5)) return Object.keys(related).length ? { include: related } : {}
  return { select: { id: true, ...Object.fromEntries(some(scalars(m), 4).map((f) => [f.name, true])), ...related } }
}
// Nested cursors are another test's.
const pageOf = (m) => { const { cursor, distinct, ...found } = page(m); return found }
const numbers = (m) => scalars(m).filter((f) => f.type === 'Int' && !f.isId)
function computed(m) {
  const n = Object.fromEntries(numbers(m).map((f) => [f.name, true])), found = { _count: { _all: true }, _max: { id: true }, _min: { id: true } }
  return numbers(m).length ? { ...found, _sum: n, _avg: n } : found
}
const unique = (m) => (made[m.name].length && chance(0.9) ? { id: key(m) } : { id: 'missing' })
const calls = {
  create: (m) => { const d = data(m, true); return { data: d, ...shown(m) } },
  createMany: (m) => ({ data: Array.from({ length: below(4) }, () => data(m, true)), ...(chance(0.3) ? { skipDuplicates: true } : {}) }),
  update: (m) => ({ where: unique(m), data: data(m, false), ...shown(m) }),
  updateMany: (m) => ({ where: where(m), data: data(m, false) }),
  upsert: (m) => ({ where: unique(m), create: data(m, true), update: data(m, false), ...shown(m) }),
  delete: (m) => ({ where: unique(m) }),
  deleteMany: (m) => ({ where: { ...where(m), id: { in: [key(m), key(m)] } } }),
  findUnique: (m) => ({ where: unique(m), ...shown(m) }),
  findFirst: (m) => { const { take, ...found } = page(m); return { ...found, ...shown(m) } },
  findMany: (m) => ({ ...page(m), ...shown(m) }),
  count: (m) => ({ where: where(m) }),
  aggregate: (m) => ({ where: where(m), ...computed(m) }),
  groupBy: (m) => { const by = [one(scalars(m).filter((f) => f.type !== 'Json')).name]; return { by, where: where(m), ...computed(m), orderBy: { [by[0]]: 'asc' } } },
}
const weights = ['create', 'create', 'create', 'createMany', 'update', 'update', 'updateMany', 'upsert', 'delete', 'deleteMany', 'findUnique', 'findFirst', 'findMany', 'findMany', 'findMany', 'findMany', 'count', 'aggregate', 'groupBy']

const began = Date.now() - 60000
function shape(v) {
  if (v === null || v === undefined) return v
  if (v instanceof Date) return v.getTime() > began ? 'now' : v.toISOString()
  if (typeof v === 'object' && typeof v.toFixed === 'function') return String(v)
  if (Array.isArray(v)) return v.map(shape)
  if (typeof v === 'object') return Object.fromEntries(Object.entries(v).map(([k, x]) => [k, shape(x)]))
  return v
}
// PostgreSQL 18 refuses what is Restrict'ed with a code that the reference does not know.
const failure = (e) => ({ error: e.constructor.name === 'DriverAdapterError' ? 'P2003' : (e.code ?? e.constructor.name) })
/** Nulls are each client's own. */
const own = (v, { Prisma }) => v === NULLS.DbNull || v === NULLS.AnyNull ? Prisma[v.null] : Array.isArray(v) ? v.map((x) => own(x, { Prisma })) : v?.constructor === Object ? Object.fromEntries(Object.entries(v).map(([k, x]) => [k, own(x, { Prisma })])) : v
const run = (p, m, operation, args) => p[accessor(m.name)][operation](own(args, p === sides[0] ? real : app)).then((v) => ({ value: shape(v) }), failure)

let different = 0
const often = ['User', 'Tag', 'Character', 'ConnectionProfile', 'Persona', 'Chat', 'Message', 'CharacterTag'].map((name) => byName[name])
// Some records of each come first.
const seeding = [...often, ...often, ...often, ...models]
for (let n = 0; n < times + seeding.length; n++) {
  const m = seeding[n] ?? one(chance(0.6) ? often : models)
  let operation = seeding[n] ? 'create' : one(weights)
  if (m.name === 'User' && operation.startsWith('delete') && chance(0.9)) operation = 'findMany'
  let args = calls[operation](m)
  // There Prisma decides isNot by a subquery, in which NULL is false; by a join, as here, in all that reads.
  if (operation.endsWith('Many') && JSON.stringify(args).includes('isNot')) args = calls[(operation = 'findMany')](m)
  const answers = []
  for (const p of sides) answers.push(await run(p, m, operation, args))
  const [expected, got] = answers.map((x) => JSON.stringify(x))
  if (expected !== got) {
    different++
    console.log(`${m.name}.${operation}(${JSON.stringify(args)})\n    expected ${expected.slice(0, 500)}\n    got      ${got.slice(0, 500)}`)
  }
  if (['create', 'createMany', 'upsert'].includes(operation)) {
    for (const x of await sides[0][accessor(m.name)].findMany({ select: { id: true } })) if (!made[m.name].includes(x.id)) made[m.name].push(x.id)
  }
  if (different > 5) break
}
for (const m of models) {
  const [expected, got] = await Promise.all(sides.map((p) => run(p, m, 'findMany', { orderBy: { id: 'asc' } })))
  if (JSON.stringify(expected) !== JSON.stringify(got)) { different++; console.log(`the states of ${m.name} differ`) }
}
console.log(`${times} calls, ${different} differences; records: ${models.map((m) => made[m.name].length).join(' ')}`)
process.exit(different ? 1 : 0)
