// The same of types.prisma: every scalar type, lists, a mapped enum, a many-to-many relation.
const D = (s) => new Date(s)
export const schema = "types"
export const calls = [
  ['create all', (p, P) => p.thing.create({ data: { b: 9223372036854775807n, d: new P.Decimal('123456789012345678901234567890.123456789'), m: 1.5, f: 0.1, r: 0.1, y: Buffer.from([0, 255, 128]), j: { $type: 'x', value: 1, big: 1e21, n: [null, { a: 0.1 }] }, s: 'é', c: 'green', day: D('2024-02-29T00:00:00Z'), tz: D('2024-02-29T12:34:56.789Z'), t: D('1970-01-01T12:34:56.789Z'), u: 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', sm: -5, tags: ['a', ''], ints: [1, 2], decs: ['1.10', 2], whens: [D(0)], blobs: [Buffer.from('x')], cols: ['RED', 'green'], docs: [1, 'x', { a: null }] } })],
  ['create none', (p) => p.thing.create({ data: {} })],
  ['floats', (p) => Promise.all([1e308, 5e-324, -0, 123456789.125, 1e21].map((f) => p.thing.create({ data: { f }, select: { f: true } })))],
  ['bigint id', (p) => p.thing.findUnique({ where: { id: 1n }, select: { id: true, b: true } })],
  ['decimal filter', (p) => p.thing.findMany({ where: { d: { gt: '123456789012345678901234567890' } }, select: { id: true, d: true, m: true } })],
  ['decimal arithmetic', (p) => p.thing.update({ where: { id: 1 }, data: { m: { multiply: '1.333' }, b: { decrement: 7n }, f: { divide: 3 } }, select: { m: true, b: true, f: true } })],
  ['lists', (p) => Promise.all([{ tags: { has: 'a' } }, { tags: { hasEvery: ['a', ''] } }, { tags: { isEmpty: true } }, { ints: { equals: [1, 2] } }, { cols: { hasSome: ['green'] } }].map((where) => p.thing.findMany({ where, select: { id: true }, orderBy: { id: 'asc' } })))],
  ['list push/set', (p) => p.thing.update({ where: { id: 1 }, data: { tags: { push: 'z' }, ints: { set: [] }, cols: { push: ['RED'] } }, select: { tags: true, ints: true, cols: true } })],
  ['date only', (p) => p.thing.findMany({ where: { day: D('2024-02-29T00:00:00Z') }, select: { id: true, day: true, tz: true, t: true } })],
  ['too long P2000', (p) => p.thing.create({ data: { s: 'x'.repeat(21) } })],
  ['int overflow', (p) => p.part.create({ data: { a: 3000000000, b: 'x' } })],
  ['named compound id', async (p) => [await p.part.create({ data: { a: 1, b: 'x', thing: { connect: { id: 1 } } } }), await p.part.findUnique({ where: { ab: { a: 1, b: 'x' } }, include: { thing: { select: { b: true } } } })]],
  ['many to many', async (p) => [await p.thing.update({ where: { id: 1 }, data: { friends: { connect: [{ id: 2 }, { id: 3 }] } }, select: { friends: { select: { id: true }, orderBy: { id: 'asc' } }, _count: { select: { friends: true, of: true } } } }), await p.thing.update({ where: { id: 2 }, data: { of: { disconnect: [{ id: 1 }] } }, select: { of: { select: { id: true } } } }), await p.thing.findMany({ where: { of: { some: { id: 1 } } }, select: { id: true } })]],
  ['group by enum', (p) => p.thing.groupBy({ by: ['c'], _count: { _all: true, d: true }, _max: { id: true }, _sum: { b: true, d: true }, orderBy: { c: 'asc' } })],
  ['aggregate bigint and decimal', (p) => p.thing.aggregate({ _max: { id: true, b: true, day: true }, _sum: { m: true }, _avg: { m: true, sm: true } })],
]
