// The example of examples/typescript, compiled, and the same conversation with it: prints the answers.
// With REFERENCE_URL it runs on PostgreSQL by Prisma's own engine, else by DATABASE_URL alone.
import { spawn } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { once } from 'node:events'
import { pathToFileURL } from 'node:url'

const here = import.meta.dirname, example = join(here, '../../../examples/typescript'), version = join(here, 'prisma-6')
const require = createRequire(join(version, 'package.json')), ts = require('typescript')
const folder = mkdtempSync(join(tmpdir(), 'octavo-notes-')), reference = process.env.REFERENCE_URL

mkdirSync(join(folder, 'dist'))
cpSync(join(example, 'package.json'), join(folder, 'package.json'))
symlinkSync(join(version, 'node_modules'), join(folder, 'node_modules'))
cpSync(join(version, `generated/notes-${reference ? 'real' : 'app'}`), join(folder, 'generated'), { recursive: true })
for (const name of ['api', 'main']) {
  const compilerOptions = { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext }
  const { outputText } = ts.transpileModule(readFileSync(join(example, `src/${name}.ts`), 'utf8'), { compilerOptions })
  writeFileSync(join(folder, `dist/${name}.js`), outputText)
}

async function begin() {
  if (!reference) {
    const process_ = spawn('node', [join(folder, 'dist/main.js')], { env: { ...process.env, PORT: '0' }, stdio: ['ignore', 'pipe', 'ignore'] })
    const [line] = await once(process_.stdout, 'data')
    return [String(line).match(/http:\S+/)[0], () => process_.kill()]
  }
  const { PrismaPg } = require('@prisma/adapter-pg'), pg = require('pg')
  const database = new pg.Client({ connectionString: reference })
  await database.connect()
  await database.query(readFileSync(process.env.SCHEMA_SQL, 'utf8'))
  await database.end()
  const { PrismaClient } = createRequire(join(folder, 'x'))('./generated/index.js')
  const { createApi } = await import(pathToFileURL(join(folder, 'dist/api.js')))
  const server = createApi(new PrismaClient({ adapter: new PrismaPg({ connectionString: reference }) })).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return [`http://127.0.0.1:${server.address().port}`, () => server.close()]
}

const [url, end] = await begin()
const ids = new Map()
/** Ids and moments, which differ from run to run, by the order in which they come. */
const alike = (text) => text
  .replace(/[0-9a-f]{8}-[0-9a-f-]{27}/g, (id) => { if (!ids.has(id)) ids.set(id, `#${ids.size}`); return ids.get(id) })
  .replace(/"20\d\d-[^"]+Z"/g, '"now"')
async function ask(method, path, body) {
  const answer = await fetch(url + path, { method, body: body && JSON.stringify(body) })
  const text = await answer.text()
  console.log(method, alike(path), answer.status, alike(text))
  return JSON.parse(text)
}
const first = await ask('POST', '/notes', { author: 'Ada', title: 'On engines', body: 'It weaves algebraic patterns', tags: ['maths', 'looms'], meta: { pages: [1, 2.5], draft: null } })
await ask('POST', '/notes', { author: 'Ada', title: 'Notes 50%', mood: 'CURIOUS', tags: ['maths'] })
await ask('POST', '/notes', { author: 'Bob', title: 'äther', body: 'a b c' })
await ask('POST', '/notes', { author: 'Bob', title: 'broken', mood: 'SAD' })
await ask('GET', '/notes')
await ask('GET', '/notes?tag=maths&take=1')
await ask('GET', '/notes?q=ENGINES')
await ask('GET', `/notes/${first.id}`)
await ask('GET', '/notes/no')
await ask('PATCH', `/notes/${first.id}`, { title: 'On looms', words: { increment: 2 }, tags: { disconnect: { name: 'looms' } } })
await ask('PATCH', `/notes/${first.id}`, { titel: 'x' })
await ask('GET', '/stats')
await ask('POST', '/authors/Bob/merge', { into: 'Nobody' })
await ask('POST', '/authors/Bob/merge', { into: 'Ada' })
await ask('DELETE', `/notes/${first.id}`)
await ask('DELETE', `/notes/${first.id}`)
await ask('GET', '/stats')
end()
rmSync(folder, { recursive: true })
process.exit(0)
