// node generate.mjs prisma-6: makes the clients of a version, for each schema
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const here = import.meta.dirname, version = process.argv[2], folder = join(here, version)
const major = Number(version.split('-')[1])
// No native engine is needed, neither to generate nor to run.
const env = {
  ...process.env, DATABASE_URL: 'postgresql://unused', CHECKPOINT_DISABLE: '1', PRISMA_HIDE_UPDATE_MESSAGE: '1',
  PRISMA_SCHEMA_ENGINE_BINARY: '/bin/true', PRISMA_QUERY_ENGINE_LIBRARY: '/bin/true',
}
const generator = (side, schema, options) =>
  `generator ${side} {\n  provider = "prisma-client-js"\n${options}  output   = "../generated/${schema}-${side}"\n}\n`

cpSync(join(here, '../../../js'), join(folder, 'node_modules/octavo-prisma'), { recursive: true })
mkdirSync(join(folder, 'schemas'), { recursive: true })
// The example's schema, as far as it is the data's.
const notes = readFileSync(join(here, '../../../examples/typescript/prisma/schema.prisma'), 'utf8')
const models = { notes: notes.slice(notes.indexOf('enum ')) }
for (const schema of ['chat', 'types', ...(major === 6 ? ['notes'] : [])]) {
  const client = '  engineType = "client"\n'
  const text = [
    generator('app', schema, major === 7 ? client : ''),
    major === 6 ? generator('real', schema, client) : '',
    `datasource db {\n  provider = "postgresql"\n${major < 7 ? '  url = env("DATABASE_URL")\n' : ''}}\n`,
    models[schema] ?? readFileSync(join(here, 'schemas', `${schema}.prisma`), 'utf8'),
  ]
  const file = join(folder, 'schemas', `${schema}.prisma`)
  writeFileSync(file, text.join('\n'))
  execFileSync(join(folder, 'node_modules/.bin/prisma'), ['generate', '--schema', file], { env, cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] })
}
