// A small API of notes.  It knows nothing of where they are stored: Prisma Client does, by DATABASE_URL.
import { createServer, type IncomingMessage, type Server } from 'node:http'
import { Prisma, type PrismaClient } from '../generated/index.js'

const shown = {
  author: { select: { name: true } },
  tags: { select: { name: true }, orderBy: { name: 'asc' } },
} satisfies Prisma.NoteInclude

type Draft = { author: string; title: string; body?: string; mood?: 'CALM' | 'CURIOUS'; meta?: Prisma.InputJsonValue; tags?: string[] }
type Handler = (request: { url: URL; id: string; body: any }) => Promise<unknown>

export function createApi(prisma: PrismaClient): Server {
  const routes: [string, RegExp, Handler][] = [
    ['GET', /^\/notes$/, ({ url }) => {
      const tag = url.searchParams.get('tag') ?? undefined, text = url.searchParams.get('q') ?? undefined
      return prisma.note.findMany({
        where: { title: { contains: text, mode: 'insensitive' }, tags: tag ? { some: { name: tag } } : undefined },
        include: shown,
        orderBy: [{ title: 'asc' }, { id: 'asc' }],
        take: Number(url.searchParams.get('take') ?? 20),
      })
    }],
    ['POST', /^\/notes$/, ({ body }) => {
      const { author, tags = [], body: text = '', ...rest } = body as Draft
      return prisma.note.create({
        data: {
          ...rest,
          body: text,
          words: text.split(/\s+/).filter(Boolean).length,
          author: { connectOrCreate: { where: { name: author }, create: { name: author } } },
          tags: { connectOrCreate: tags.map((name) => ({ where: { name }, create: { name } })) },
        },
        include: shown,
      })
    }],
    ['GET', /^\/notes\/([^/]+)$/, ({ id }) => prisma.note.findUniqueOrThrow({ where: { id }, include: shown })],
    ['PATCH', /^\/notes\/([^/]+)$/, ({ id, body }) => prisma.note.update({ where: { id }, data: body, include: shown })],
    ['DELETE', /^\/notes\/([^/]+)$/, ({ id }) => prisma.note.delete({ where: { id }, include: shown })],
    ['POST', /^\/authors\/([^/]+)\/merge$/, ({ id, body }) =>
      // All notes of one author become another's, or none.
      prisma.$transaction(async (tx) => {
        const from = await tx.author.findUniqueOrThrow({ where: { name: id } })
        const to = await tx.author.findUniqueOrThrow({ where: { name: body.into } })
        const moved = await tx.note.updateMany({ where: { authorId: from.id }, data: { authorId: to.id } })
        await tx.author.delete({ where: { id: from.id } })
        return moved
      })],
    ['GET', /^\/stats$/, async () => {
      const [authors, moods, words] = await prisma.$transaction([
        prisma.author.findMany({ select: { name: true, _count: { select: { notes: true } } }, orderBy: { name: 'asc' } }),
        prisma.note.groupBy({ by: ['mood'], _count: { _all: true }, orderBy: { mood: 'asc' } }),
        prisma.note.aggregate({ _sum: { words: true }, _max: { words: true } }),
      ])
      return { authors, moods, words }
    }],
  ]
  return createServer(async (request, response) => {
    const answer = await respond(routes, request)
    response.writeHead(answer.status, { 'content-type': 'application/json' }).end(JSON.stringify(answer.body))
  })
}

async function respond(routes: [string, RegExp, Handler][], request: IncomingMessage) {
  const url = new URL(request.url ?? '/', 'http://localhost')
  for (const [method, path, handle] of routes) {
    const found = path.exec(url.pathname)
    if (method !== request.method || !found) continue
    try {
      const pieces: Buffer[] = []
      for await (const piece of request) pieces.push(piece)
      const body = pieces.length ? JSON.parse(Buffer.concat(pieces).toString()) : undefined
      const given = await handle({ url, id: decodeURIComponent(found[1] ?? ''), body })
      return { status: method === 'POST' ? 201 : 200, body: given }
    } catch (error) {
      return failure(error)
    }
  }
  return { status: 404, body: { error: 'nothing is here' } }
}

function failure(error: unknown) {
  if (error instanceof Prisma.PrismaClientKnownRequestError && error.code === 'P2025') return { status: 404, body: { error: 'not found' } }
  if (error instanceof Prisma.PrismaClientKnownRequestError && error.code === 'P2002') return { status: 409, body: { error: 'taken' } }
  if (error instanceof Prisma.PrismaClientValidationError) return { status: 400, body: { error: 'invalid' } }
  console.error(error)
  return { status: 500, body: { error: 'failed' } }
}
