// Reading, on schema 0.7: what chat.mjs leaves out.  [name, (p, Prisma) => promise], in this order.
const D = (s) => new Date(s)
const U = '11111111-1111-4111-8111-111111111111', U2 = '22222222-2222-4222-8222-222222222222'
const text = { description: 'd', personality: 'p', scenario: 's', firstMessage: 'f' }
const at = (n) => D(1.7e12 + n * 1000)
const ids = (extra) => ({ select: { id: true }, orderBy: { id: 'asc' }, ...extra })
const all = (model, wheres) => (p, P) => Promise.all((typeof wheres === 'function' ? wheres(p, P) : wheres).map((where) => p[model].findMany(ids({ where }))))
export const schema = 'chat'
export const calls = [
  ['seed', async (p, P) => {
    await p.user.createMany({ data: [{ id: U, email: 'ada@example.org', name: 'Ada', createdAt: at(0), updatedAt: at(0) }, { id: U2, email: 'bob@example.org', createdAt: at(1), updatedAt: at(1) }] })
    await p.tag.createMany({ data: ['b', 'a', 'c', 'ä', 'B', '%'].map((n, i) => ({ id: `t${i}`, userId: i < 4 ? U : U2, name: n, nameLower: n.toLowerCase(), createdAt: at(i), updatedAt: at(9 - i) })) })
    await p.character.createMany({ data: [0, 1, 2, 3, 4].map((i) => ({ id: `c${i}`, userId: i < 3 ? U : U2, name: ['Zoë', 'adam', 'Eve', 'Ünal', '50%_x'][i], title: [null, 'T1', 't1', null, ''][i], ...text, isFavorite: i % 2 === 0, avatarUrl: i ? `a${i}` : null, sillyTavernData: [P.DbNull, P.JsonNull, { a: 1, s: 'Hello', list: [1, 2, 3], deep: { k: [true, null] } }, { a: 2.5, s: 'hello', list: ['x'] }, { a: '2', s: 'yellow', list: [] }][i], createdAt: at(i % 2), updatedAt: at(i) })) })
    await p.characterTag.createMany({ data: [['c0', 't0'], ['c0', 't1'], ['c1', 't1'], ['c2', 't2'], ['c3', 't4']].map(([characterId, tagId], i) => ({ id: `ct${i}`, characterId, tagId, createdAt: at(i) })) })
    await p.persona.createMany({ data: [{ id: 'p0', userId: U, name: 'P0', description: 'x', title: 'x', createdAt: at(0), updatedAt: at(0) }, { id: 'p1', userId: U, name: 'P1', description: 'x', createdAt: at(0), updatedAt: at(0) }] })
    await p.connectionProfile.createMany({ data: [{ id: 'cp0', userId: U, name: 'main', provider: 'OPENAI', modelName: 'gpt', parameters: { t: 0.7 }, createdAt: at(0), updatedAt: at(0) }, { id: 'cp1', userId: U2, name: 'other', provider: 'GROK', modelName: 'g', parameters: [1, 2], createdAt: at(0), updatedAt: at(0) }] })
    await p.chat.createMany({ data: [0, 1, 2, 3].map((i) => ({ id: `ch${i}`, userId: i < 3 ? U : U2, characterId: `c${i}`, connectionProfileId: i < 3 ? 'cp0' : 'cp1', personaId: [null, 'p0', 'p1', null][i], title: `Chat ${i}`, contextSummary: i === 2 ? 'sum' : null, createdAt: at(i % 2), updatedAt: at(i) })) })
    await p.message.createMany({ data: Array.from({ length: 24 }, (_, i) => ({ id: `m${String(i).padStart(2, '0')}`, chatId: `ch${i % 3}`, role: ['USER', 'ASSISTANT', 'SYSTEM', 'TOOL'][i % 4], content: `line ${i} ${'ab'.repeat(i % 5)}`, tokenCount: i % 4 ? i * 7 % 11 : null, swipeGroupId: i % 6 ? null : 'g', swipeIndex: i % 6 ? null : i, createdAt: at(i >> 1) })) })
    return Promise.all(['user', 'tag', 'character', 'characterTag', 'persona', 'connectionProfile', 'chat', 'message'].map((m) => p[m].count()))
  }],
  // filters of fields
  ['text operators', all('character', [{ name: { contains: 'a' } }, { name: { startsWith: 'Z' } }, { name: { endsWith: 'e' } }, { name: { startsWith: '50%_' } }, { name: { contains: '' } }, { name: { not: { contains: 'e' } } }])],
  ['insensitive', all('character', [{ name: { equals: 'EVE', mode: 'insensitive' } }, { name: { contains: 'A', mode: 'insensitive' } }, { name: { in: ['EVE', 'ADAM'], mode: 'insensitive' } }, { name: { not: 'eve', mode: 'insensitive' } }, { title: { startsWith: 'T', mode: 'insensitive' } }, { name: { equals: 'eve', mode: 'default' } }])],
  ['comparisons of text', all('character', [{ name: { gt: 'Eve' } }, { name: { lte: 'Eve' } }, { name: { gte: 'a', lt: 'b' } }])],
  ['numbers', all('message', [{ tokenCount: { gt: 5 } }, { tokenCount: { lte: 2 } }, { tokenCount: 7 }, { tokenCount: { not: 7 } }, { tokenCount: { in: [1, 2, 3] } }, { tokenCount: { notIn: [1, 2, 3] } }, { tokenCount: { in: [] } }, { tokenCount: { notIn: [] } }, { tokenCount: null }, { NOT: { tokenCount: 7 } }, { tokenCount: { not: null } }, { tokenCount: { not: { gt: 3 } } }])],
  ['times', all('message', [{ createdAt: at(3) }, { createdAt: { gt: at(9) } }, { createdAt: { in: [at(0), at(1)] } }, { createdAt: { not: at(0) }, id: { lt: 'm04' } }, { createdAt: { gte: '2023-11-14T22:13:28Z', lte: '2023-11-14T23:13:29.000+01:00' } }])],
  ['enums', all('message', [{ role: 'USER' }, { role: { not: 'USER' } }, { role: { in: ['TOOL', 'SYSTEM'] } }, { role: { notIn: ['TOOL'] }, id: { lt: 'm06' } }, { role: { equals: 'TOOL' } }])],
  ['booleans', all('character', [{ isFavorite: true }, { isFavorite: { not: true } }, { isFavorite: { equals: false } }])],
  ['empty objects', all('character', [{}, { name: {} }, { user: {} }, { AND: [] }, { AND: {} }, { NOT: [] }, { NOT: {} }, { tags: {} }, { AND: [{}, { id: 'c1' }] }])],
  ['OR of nothing', all('character', [{ OR: [] }, { OR: [{}] }, { OR: [{}, { id: 'c1' }] }, { OR: [{ name: {} }] }, { OR: [{ id: 'c1' }, { id: 'c2' }] }, { AND: [{ OR: [] }] }, { NOT: { OR: [] } }, { OR: [{ AND: [] }] }])],
  ['undefined', all('character', [{ id: undefined }, { OR: [{ id: undefined }, { id: 'c1' }] }, { name: { contains: undefined } }, { AND: undefined }, { NOT: undefined }])],
  ['nested logic', all('character', [{ NOT: [{ id: 'c1' }, { id: 'c2' }] }, { NOT: { OR: [{ id: 'c1' }, { title: null }] } }, { AND: [{ OR: [{ id: 'c1' }, { id: 'c2' }] }, { NOT: { id: 'c2' } }] }, { NOT: { title: 'T1' } }, { NOT: { AND: [{ title: 'T1' }, { isFavorite: false }] } }])],
  // relations
  ['to one', all('chat', [{ character: { name: 'adam' } }, { character: { is: { name: 'adam' } } }, { character: { isNot: { name: 'adam' } } }, { persona: null }, { persona: { is: null } }, { persona: { isNot: null } }, { NOT: { persona: { title: 'x' } } }, { persona: { isNot: { title: 'x' } } }, { persona: { title: null } }, { user: { email: { contains: 'ada' } }, character: { isFavorite: true } }])],
  ['to many', all('character', [{ tags: { some: {} } }, { tags: { none: {} } }, { tags: { every: {} } }, { tags: { some: { tag: { name: 'a' } } } }, { tags: { every: { tag: { name: { in: ['a', 'b'] } } } } }, { tags: { none: { tag: { name: 'a' } }, some: {} } }, { chats: { some: { messages: { some: { role: 'TOOL', tokenCount: { gt: 5 } } } } } }, { NOT: { tags: { some: {} } } }])],
  ['deep', all('user', [{ chats: { some: { messages: { every: { content: { contains: 'line' } } } } } }, { chats: { every: { persona: { isNot: null } } } }, { tags: { some: { characterTags: { some: { character: { name: 'Ünal' } } } } } }])],
  // Json
  ['json equals', all('character', (p, P) => [{ sillyTavernData: { equals: { s: 'Hello', a: 1, list: [1, 2, 3], deep: { k: [true, null] } } } }, { sillyTavernData: { not: { a: 1 } } }, { sillyTavernData: { not: P.DbNull } }, { sillyTavernData: { not: P.JsonNull } }, { sillyTavernData: { not: P.AnyNull } }, { sillyTavernData: { path: ['a'], equals: 1 } }, { sillyTavernData: { path: ['a'], equals: '2' } }, { sillyTavernData: { path: ['deep', 'k', '1'], equals: P.JsonNull } }, { sillyTavernData: { path: ['list', '0'], equals: 'x' } }, { sillyTavernData: { path: ['a'], not: 1 } }])],
  ['json strings', all('character', [{ sillyTavernData: { path: ['s'], string_contains: 'ell' } }, { sillyTavernData: { path: ['s'], string_starts_with: 'H' } }, { sillyTavernData: { path: ['s'], string_ends_with: 'llow' } }, { NOT: { sillyTavernData: { path: ['s'], string_contains: 'H' } } }, { sillyTavernData: { path: ['s'], string_starts_with: 'h', mode: 'insensitive' } }])],
  ['json arrays', all('character', [{ sillyTavernData: { path: ['list'], array_contains: [2] } }, { sillyTavernData: { path: ['list'], array_contains: ['x'] } }, { sillyTavernData: { path: ['list'], array_starts_with: 1 } }, { sillyTavernData: { path: ['list'], array_ends_with: 3 } }, { sillyTavernData: { path: ['list'], array_contains: [1, 3] } }])],
  ['json comparisons', all('character', [{ sillyTavernData: { path: ['a'], gt: 1 } }, { sillyTavernData: { path: ['a'], lte: 2.5 } }, { sillyTavernData: { path: ['s'], lt: 'h' } }])],
  // orders
  ['order by text', (p) => p.character.findMany({ orderBy: { name: 'desc' }, select: { name: true } })],
  ['order by several', (p) => p.character.findMany({ orderBy: [{ isFavorite: 'desc' }, { title: 'asc' }, { id: 'desc' }], select: { id: true, title: true } })],
  ['nulls first and last', (p) => Promise.all(['first', 'last'].flatMap((nulls) => ['asc', 'desc'].map((sort) => p.character.findMany({ orderBy: [{ title: { sort, nulls } }, { id: 'asc' }], select: { id: true } }))))],
  ['order by enum', (p) => p.message.findMany({ orderBy: [{ role: 'asc' }, { id: 'asc' }], select: { id: true }, take: 8 })],
  ['order by relation', (p) => Promise.all([{ character: { name: 'asc' } }, { persona: { title: 'desc' } }, { user: { email: 'desc' } }].map((o) => p.chat.findMany({ orderBy: [o, { id: 'asc' }], select: { id: true } })))],
  ['order by count', (p) => p.user.findMany({ orderBy: [{ tags: { _count: 'asc' } }], select: { id: true, _count: { select: { tags: true } } } })],
  ['order by a deep field', (p) => p.message.findMany({ orderBy: [{ chat: { character: { name: 'desc' } } }, { id: 'asc' }], select: { id: true }, take: 5 })],
  // pages
  ['take and skip', (p) => Promise.all([{ take: 2 }, { take: -2 }, { skip: 20 }, { skip: 2, take: 2 }, { skip: 2, take: -2 }, { take: 0 }, { take: 100 }].map((x) => p.message.findMany(ids(x))))],
  ['cursors', (p) => Promise.all([{ cursor: { id: 'm10' }, take: 2 }, { cursor: { id: 'm10' }, take: -2 }, { cursor: { id: 'm10' }, skip: 1, take: 2 }, { cursor: { id: 'm10' }, skip: 1, take: -3 }, { cursor: { id: 'nope' } }, { cursor: { id: 'm10' }, where: { role: 'USER' } }].map((x) => p.message.findMany(ids(x))))],
  ['cursor among equals', (p) => p.message.findMany({ cursor: { id: 'm07' }, orderBy: [{ createdAt: 'desc' }, { id: 'desc' }], take: 4, skip: 1, select: { id: true } })],
  ['cursor and nulls', (p) => Promise.all(['asc', 'desc'].map((d) => p.character.findMany({ cursor: { id: 'c1' }, orderBy: [{ title: d }, { id: 'asc' }], select: { id: true } })))],
  ['cursor over a compound unique', (p) => p.tag.findMany({ cursor: { userId_nameLower: { userId: U, nameLower: 'a' } }, orderBy: { name: 'asc' }, select: { id: true } })],
  ['distinct', (p) => Promise.all([{ distinct: ['role'] }, { distinct: ['role'], take: 2 }, { distinct: ['role'], skip: 1 }, { distinct: ['role', 'chatId'], take: 5 }, { distinct: 'tokenCount' }].map((x) => p.message.findMany(ids(x))))],
  ['findFirst', (p) => Promise.all([p.message.findFirst(ids({ skip: 3 })), p.message.findFirst(ids({ take: -1 })), p.message.findFirst(ids({ where: { id: 'no' } })), p.message.findFirst({ orderBy: { id: 'desc' }, select: { id: true } }), p.message.findFirst(ids({ cursor: { id: 'm05' }, skip: 1 })), p.message.findFirst(ids({ distinct: ['role'], skip: 1 }))])],
  ['findFirstOrThrow', (p) => p.message.findFirstOrThrow(ids({ where: { id: 'm03' } }))],
  ['findUniqueOrThrow missing', (p) => p.message.findUniqueOrThrow({ where: { id: 'no' } })],
  ['findUniqueOrThrow', (p) => p.tag.findUniqueOrThrow({ where: { userId_nameLower: { userId: U, nameLower: 'a' } }, select: { id: true } })],
  ['findUnique with more', (p) => Promise.all([p.tag.findUnique({ where: { id: 't0', name: 'x' } }), p.tag.findUnique({ where: { id: 't0', OR: [{ name: 'b' }] }, select: { id: true } }), p.tag.findUnique({ where: { userId_nameLower: { userId: U, nameLower: 'a' }, user: { name: 'Ada' } }, select: { id: true } })])],
  ['findUnique batched by a compound unique', (p) => Promise.all(['a', 'b', 'nope'].map((nameLower) => p.tag.findUnique({ where: { userId_nameLower: { userId: U, nameLower } }, select: { id: true } })))],
  ['findUniqueOrThrow batched', (p) => Promise.allSettled(['t0', 'no'].map((id) => p.tag.findUniqueOrThrow({ where: { id }, select: { id: true } }))).then((r) => r.map((x) => x.value ?? x.reason.code))],
  // what is shown
  ['include pages', (p) => p.chat.findMany({ orderBy: { id: 'asc' }, include: { messages: { where: { role: { not: 'TOOL' } }, orderBy: { id: 'desc' }, take: 2, skip: 1, select: { id: true, role: true } }, persona: { select: { name: true } } } })],
  ['include with a cursor', (p) => p.chat.findMany({ orderBy: { id: 'asc' }, select: { id: true, messages: { cursor: { id: 'm04' }, orderBy: { id: 'asc' }, take: 2, select: { id: true } } } })],
  ['include with distinct', (p) => p.chat.findFirst({ orderBy: { id: 'asc' }, select: { messages: { distinct: ['role'], orderBy: { id: 'asc' }, select: { id: true } } } })],
  ['include backwards', (p) => p.chat.findMany({ orderBy: { id: 'asc' }, select: { messages: { take: -2, orderBy: { id: 'asc' }, select: { id: true } } } })],
  ['include deep', (p) => p.user.findUnique({ where: { id: U }, select: { chats: { orderBy: { id: 'asc' }, include: { character: { include: { tags: { orderBy: { id: 'asc' }, include: { tag: { select: { name: true, user: { select: { email: true } } } } } } } } } } } })],
  ['select a null relation', (p) => p.chat.findMany({ orderBy: { id: 'asc' }, select: { id: true, persona: true } })],
  ['select false', (p) => p.chat.findFirst({ orderBy: { id: 'asc' }, select: { id: true, title: false, persona: false } })],
  ['counts', (p) => p.user.findMany({ orderBy: { id: 'asc' }, select: { id: true, _count: true } })],
  ['counts of an include', (p) => p.chat.findMany({ orderBy: { id: 'asc' }, select: { character: { select: { _count: { select: { tags: true, chats: { where: { title: 'Chat 1' } } } } } } } })],
  ['omit', (p) => p.tag.findFirst({ orderBy: { id: 'asc' }, omit: { nameLower: true, userId: false } })],
  ['omit everything', (p) => p.characterTag.findFirst({ omit: { id: true, characterId: true, tagId: true, createdAt: true } })],
  ['select nothing', (p) => p.tag.findFirst({ select: {} })],
  ['select an unknown field', (p) => p.tag.findFirst({ select: { nam: true } })],
  ['count selected', (p) => p.message.count({ select: { _all: true, tokenCount: true, swipeGroupId: true } })],
  ['count with all arguments', (p) => Promise.all([p.message.count({ skip: 20 }), p.message.count({ take: 3, skip: 1 }), p.message.count({ cursor: { id: 'm20' }, orderBy: { id: 'asc' } }), p.message.count({ where: { chat: { title: 'Chat 1' } } })])],
  ['fluent to one', (p) => p.chat.findUnique({ where: { id: 'ch1' } }).persona({ select: { name: true } })],
  ['fluent to nothing', (p) => p.chat.findUnique({ where: { id: 'ch0' } }).persona()],
  ['fluent of nothing', (p) => p.chat.findUnique({ where: { id: 'no' } }).messages()],
  ['fluent to many', (p) => p.user.findUnique({ where: { email: 'ada@example.org' } }).tags({ where: { name: { not: 'c' } }, orderBy: { name: 'asc' }, select: { name: true } })],
  ['field references', (p) => Promise.all([p.tag.findMany(ids({ where: { NOT: { name: { equals: p.tag.fields.nameLower } } } })), p.message.findMany(ids({ where: { tokenCount: { gt: p.message.fields.swipeIndex } } })), p.chat.findMany(ids({ where: { createdAt: { lt: p.chat.fields.updatedAt } } }))])],
  // aggregates
  ['aggregate all', (p) => p.message.aggregate({ _count: { _all: true, tokenCount: true }, _sum: { tokenCount: true, swipeIndex: true }, _avg: { tokenCount: true }, _min: { id: true, createdAt: true, role: true }, _max: { content: true, tokenCount: true } })],
  ['aggregate of a page', (p) => p.message.aggregate({ orderBy: { id: 'asc' }, take: 5, skip: 2, _sum: { tokenCount: true }, _count: true })],
  ['aggregate of nothing', (p) => p.message.aggregate({ where: { id: 'no' }, _count: true, _sum: { tokenCount: true }, _avg: { tokenCount: true }, _max: { createdAt: true } })],
  ['aggregate from a cursor', (p) => p.message.aggregate({ cursor: { id: 'm20' }, orderBy: { id: 'asc' }, _count: true, _min: { id: true } })],
  ['group by one', (p) => p.message.groupBy({ by: ['role'], _count: { _all: true }, orderBy: { role: 'asc' } })],
  ['group by two', (p) => p.message.groupBy({ by: ['chatId', 'role'], _sum: { tokenCount: true }, orderBy: [{ chatId: 'desc' }, { role: 'asc' }] })],
  ['group by a field that may be null', (p) => p.character.groupBy({ by: ['title'], _count: true, orderBy: { title: 'asc' } })],
  ['group by, ordered by an aggregate', (p) => p.message.groupBy({ by: ['chatId'], _avg: { tokenCount: true }, orderBy: [{ _sum: { tokenCount: 'desc' } }, { chatId: 'asc' }], take: 2 })],
  ['group by having', (p) => p.message.groupBy({ by: ['role'], having: { tokenCount: { _sum: { gt: 10 } }, role: { not: 'TOOL' } }, _sum: { tokenCount: true }, orderBy: { role: 'asc' } })],
  ['group by having or', (p) => p.message.groupBy({ by: ['role'], having: { OR: [{ tokenCount: { _max: { gte: 10 } } }, { role: 'USER' }] }, orderBy: { role: 'asc' } })],
  ['group by where and skip', (p) => p.message.groupBy({ by: ['chatId'], where: { role: { in: ['USER', 'TOOL'] } }, _min: { createdAt: true }, orderBy: { chatId: 'asc' }, skip: 1 })],
  ['group by a time', (p) => p.character.groupBy({ by: ['createdAt'], _count: { id: true }, orderBy: { createdAt: 'desc' } })],
  ['group by without by', (p) => p.message.groupBy({ by: [], _count: true })],
  ['group by, ordered by another field', (p) => p.message.groupBy({ by: ['role'], orderBy: { chatId: 'asc' } })],
  // what cannot be meant
  ['unknown operator', (p) => p.tag.findMany({ where: { name: { like: 'x' } } })],
  ['wrong type', (p) => p.tag.findMany({ where: { name: 5 } })],
  ['wrong type in a list', (p) => p.tag.findMany({ where: { id: { in: ['t0', 5] } } })],
  ['null for a required field', (p) => p.tag.findMany({ where: { name: null } })],
  ['OR is no list', (p) => p.tag.findMany({ where: { OR: {} } })],
  ['wrong enum', (p) => p.message.findMany({ where: { role: 'NOBODY' } })],
  ['wrong date', (p) => p.message.findMany({ where: { createdAt: 'yesterday' } })],
  ['wrong order', (p) => p.tag.findMany({ orderBy: { name: 'up' } })],
  ['unknown order', (p) => p.tag.findMany({ orderBy: { nam: 'asc' } })],
  ['two fields in an order', (p) => p.tag.findMany({ orderBy: { name: 'asc', id: 'asc' } })],
  ['take of a text', (p) => p.tag.findMany({ take: 'x' })],
  ['negative skip', (p) => p.tag.findMany({ skip: -1 })],
  ['unknown distinct', (p) => p.tag.findMany({ distinct: ['nam'] })],
  ['cursor that tells nothing', (p) => p.tag.findMany({ cursor: { name: 'x' } })],
  ['unknown argument', (p) => p.tag.findMany({ wher: {} })],
  ['findUnique without where', (p) => p.tag.findUnique({})],
  ['half a compound unique', (p) => p.tag.findUnique({ where: { userId_nameLower: { userId: U } } })],
  ['include a field', (p) => p.tag.findMany({ include: { name: true } })],
  ['unknown relation filter', (p) => p.character.findMany({ where: { tags: { any: {} } } })],
  ['number out of range in a filter', (p) => p.message.findMany({ where: { tokenCount: 3000000000 } })],
  ['a fraction for an Int', (p) => p.image.findMany({ where: { size: 1.5 } })],
]
