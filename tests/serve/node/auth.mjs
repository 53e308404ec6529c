// Auth.js' adapter on schema 0.7, by DATABASE_URL alone: the behaviours that its adapters' published tests ask for.
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const folder = join(import.meta.dirname, 'prisma-6'), require = createRequire(join(folder, 'package.json'))
const { PrismaAdapter } = await import(pathToFileURL(join(folder, 'node_modules/@auth/prisma-adapter/index.js')))
const { PrismaClient } = require('./generated/chat-app')
const p = new PrismaClient(), adapter = PrismaAdapter(p)
const times = { emailVerified: new Date('2020-01-01T00:00:00.000Z') }
const user = { email: 'fill@murray.com', image: 'https://www.fillmurray.com/460/300', name: 'Fill Murray', ...times }
const at = (ms) => new Date(Math.floor(Date.now() / 1000) * 1000 + ms)
const session = { sessionToken: 'token-1', expires: at(30_000) }
const account = { provider: 'github', providerAccountId: 'account-1', type: 'oauth', access_token: 'access', expires_at: 1700000000, id_token: 'id', refresh_token: 'refresh', scope: 'user', session_state: 'state', token_type: 'bearer' }
const shown = (found, ...names) => Object.fromEntries(names.map((name) => [name, found[name]]))

const behaviours = {
  'createUser gives the user with an id': async () => {
    const made = await adapter.createUser(user)
    assert.equal(typeof made.id, 'string')
    assert.deepEqual(shown(made, 'email', 'image', 'name', 'emailVerified'), user)
    user.id = made.id
  },
  'getUser gives the user, or null': async () => {
    assert.equal((await adapter.getUser(user.id)).email, user.email)
    assert.equal(await adapter.getUser('00000000-0000-4000-8000-000000000000'), null)
  },
  'getUserByEmail gives the user, or null': async () => {
    assert.equal((await adapter.getUserByEmail(user.email)).id, user.id)
    assert.equal(await adapter.getUserByEmail('no@example.org'), null)
  },
  'createSession': async () => {
    const made = await adapter.createSession({ ...session, userId: user.id })
    assert.deepEqual(shown(made, 'sessionToken', 'expires', 'userId'), { ...session, userId: user.id })
  },
  'getSessionAndUser gives both, or null': async () => {
    const found = await adapter.getSessionAndUser(session.sessionToken)
    assert.equal(found.user.id, user.id)
    assert.deepEqual(found.session.expires, session.expires)
    assert.equal(found.session.user, undefined)
    assert.equal(await adapter.getSessionAndUser('invalid-token'), null)
  },
  'updateUser changes what is given': async () => {
    const changed = await adapter.updateUser({ id: user.id, name: 'updated-name' })
    assert.equal(changed.name, 'updated-name')
    assert.equal(changed.email, user.email)
    assert.deepEqual(changed.emailVerified, user.emailVerified)
  },
  'updateSession changes the expiry': async () => {
    const expires = at(60_000)
    assert.deepEqual((await adapter.updateSession({ sessionToken: session.sessionToken, expires })).expires, expires)
    assert.deepEqual((await adapter.getSessionAndUser(session.sessionToken)).session.expires, expires)
  },
  'linkAccount': async () => {
    await adapter.linkAccount({ ...account, userId: user.id })
    const found = await p.account.findUnique({ where: { provider_providerAccountId: { provider: 'github', providerAccountId: 'account-1' } } })
    assert.deepEqual(shown(found, ...Object.keys(account)), account)
  },
  'getUserByAccount gives the user, or null': async () => {
    assert.equal((await adapter.getUserByAccount({ provider: 'github', providerAccountId: 'account-1' })).id, user.id)
    assert.equal(await adapter.getUserByAccount({ provider: 'invalid', providerAccountId: 'account-1' }), null)
    assert.equal(await adapter.getUserByAccount({ provider: 'github', providerAccountId: 'invalid' }), null)
  },
  'getAccount': async () => {
    assert.equal((await adapter.getAccount('account-1', 'github')).userId, user.id)
    assert.equal(await adapter.getAccount('account-1', 'invalid'), null)
  },
  'deleteSession': async () => {
    await adapter.deleteSession(session.sessionToken)
    assert.equal(await adapter.getSessionAndUser(session.sessionToken), null)
  },
  'a verification token is used once': async () => {
    const identifier = 'info@example.com', token = 'hashed', expires = at(15 * 60_000)
    assert.deepEqual(await adapter.createVerificationToken({ identifier, token, expires }), { identifier, token, expires })
    assert.equal(await adapter.useVerificationToken({ identifier: 'other', token }), null)
    assert.equal(await adapter.useVerificationToken({ identifier, token: 'invalid' }), null)
    assert.deepEqual(await adapter.useVerificationToken({ identifier, token }), { identifier, token, expires })
    assert.equal(await adapter.useVerificationToken({ identifier, token }), null)
  },
  'the same account is not linked twice': async () => {
    await assert.rejects(adapter.linkAccount({ ...account, userId: user.id }), { code: 'P2002' })
  },
  'the same email is not taken twice': async () => {
    await assert.rejects(adapter.createUser({ email: user.email }), { code: 'P2002' })
  },
  'unlinkAccount': async () => {
    await adapter.unlinkAccount({ provider: 'github', providerAccountId: 'account-1' })
    assert.equal(await adapter.getUserByAccount({ provider: 'github', providerAccountId: 'account-1' }), null)
  },
  'deleteUser takes sessions and accounts with it': async () => {
    await adapter.linkAccount({ ...account, userId: user.id })
    await adapter.createSession({ ...session, userId: user.id })
    await adapter.deleteUser(user.id)
    assert.equal(await adapter.getUser(user.id), null)
    assert.equal(await adapter.getSessionAndUser(session.sessionToken), null)
    assert.equal(await p.account.count(), 0)
  },
}
for (const [name, behaviour] of Object.entries(behaviours)) {
  await behaviour().catch((error) => { console.log(`${name}: ${error.stack}`); process.exitCode = 1 })
}
process.exit()
