// The engine of Prisma Client, exchanged for one that asks `octavo serve`.
//
// Prisma's engine interface is internal: request, requestBatch, transaction, start, stop.  It is the same in
// 5.22, 6 and 7, and is tested with the newest minor version of each.
import { Buffer } from 'node:buffer'
import http from 'node:http'
import https from 'node:https'
import { createRequire } from 'node:module'

const TRIES = 3
const IDLE = 300_000 // milliseconds; the server closes idle connections after twice that
const READING = /^(find|aggregate$|groupBy$)/

/** What Prisma Client is constructed with where it asks for a driver adapter; the extension takes its place. */
export function adapter() {
  const unused = async () => {
    throw new Error('octavo-prisma: extend the client with octavo({ socket | url, token }) before using it')
  }
  return { provider: 'postgres', adapterName: 'octavo-prisma', connect: unused, connectToShadowDb: unused }
}

/** A client extension: `new PrismaClient({ adapter: octavo.adapter() }).$extends(octavo({ socket, token }))`. */
export default function octavo(options) {
  const place = placeOf(options)
  return (client) => {
    const original = client._originalClient
    const config = original?._accelerateEngineConfig
    if (!config?.inlineSchema) throw new Error('octavo-prisma: this version of @prisma/client is not supported')
    original._engine = new Engine(config, place, knownErrorOf(original))
    return client
  }
}
octavo.adapter = adapter

function placeOf({ socket, url, token, ca } = {}) {
  if (typeof token !== 'string' || !token) throw new TypeError('octavo: token is missing')
  if (!socket === !url) throw new TypeError('octavo: give either socket or url')
  if (socket) return { label: socket, token, request: http.request, Agent: http.Agent, options: { socketPath: socket, host: 'localhost' } }
  const { protocol, hostname, port } = new URL(url)
  if (protocol !== 'http:' && protocol !== 'https:') throw new TypeError('octavo: url begins with http:// or https://')
  const { request, Agent } = protocol === 'https:' ? https : http
  return { label: url, token, request, Agent, options: { host: hostname, port: port || undefined, ca } }
}

class Engine {
  name = 'OctavoEngine'
  #config
  #place
  #agent
  #path
  #headers
  #Known

  constructor(config, place, Known) {
    this.#config = config
    this.#place = place
    this.#Known = Known
    const schema = config.inlineSchemaHash ?? hashOf(config.inlineSchema)
    this.#path = `/${config.clientVersion}/${schema}`
    this.#headers = { authorization: `Bearer ${place.token}`, 'content-type': 'application/json' }
  }

  async start() {}

  async stop() {
    this.#agent?.destroy()
    this.#agent = undefined
  }

  version() {
    return 'octavo'
  }

  onBeforeExit() {
    throw new Error('"beforeExit" hook is not applicable to octavo; add a listener to the process object instead')
  }

  async metrics() {
    throw new Error('metrics are not supported by octavo; see GET /health of octavo serve')
  }

  async applyPendingMigrations() {
    throw new Error('migrations are not supported by octavo; use octavo schema migrate')
  }

  async request(query, { interactiveTransaction } = {}) {
    const answer = await this.#ask(`${this.#pathOf(interactiveTransaction)}/graphql`, query)
    if (answer.errors) throw await this.#errorOf(answer.errors)
    return answer
  }

  async requestBatch(queries, { transaction } = {}) {
    const batch = transaction?.kind === 'batch' ? { isolationLevel: transaction.options?.isolationLevel } : undefined
    const within = transaction?.kind === 'itx' ? transaction.options : undefined
    const answer = await this.#ask(`${this.#pathOf(within)}/graphql`, { batch: queries, transaction: batch })
    if (answer.errors) throw await this.#errorOf(answer.errors)
    return Promise.all(answer.batchResult.map((result) => (result.errors ? this.#errorOf(result.errors) : result)))
  }

  async transaction(action, headers, given) {
    if (action !== 'start') {
      await this.#ask(`${this.#pathOf(given)}/${action}`, undefined)
      return undefined
    }
    const { maxWait, timeout, isolationLevel, newTxId } = given
    const body = { max_wait: maxWait, timeout, isolation_level: isolationLevel, within: newTxId }
    const { id } = await this.#ask(`${this.#path}/transaction/start`, body)
    return { id, payload: undefined }
  }

  #pathOf(transaction) {
    return transaction ? `${this.#path}/itx/${transaction.id}` : this.#path
  }

  async #errorOf([{ user_facing_error: error }]) {
    const { error_code: code, message, meta, batch_request_idx } = error
    const batchRequestIdx = batch_request_idx ?? undefined
    if (code) return this.#known(message, code, meta, batchRequestIdx)
    const Unknown = await unknownErrorLike(this.#Known, this.#config)
    return new Unknown(message, { clientVersion: this.#config.clientVersion, batchRequestIdx })
  }

  #known(message, code, meta, batchRequestIdx) {
    return new this.#Known(message, { code, meta, batchRequestIdx, clientVersion: this.#config.clientVersion })
  }

  /** The answer to a request; a server that does not know the client's schema gets it first. */
  async #ask(path, body) {
    const text = body === undefined ? '' : JSON.stringify(body)
    for (let tries = 1; ; tries++) {
      const { status, answer } = await this.#send('POST', path, text, isReading(body))
      if (status === 200) return answer
      if (answer?.EngineNotStarted?.reason !== 'SchemaMissing' || tries === TRIES) throw this.#refusal(status, answer)
      const schema = Buffer.from(this.#config.inlineSchema).toString('base64')
      const upload = await this.#send('PUT', `${this.#path}/schema`, schema, true)
      if (upload.status !== 200) throw this.#refusal(upload.status, upload.answer)
    }
  }

  #refusal(status, answer) {
    const refused = answer?.EngineNotStarted?.reason?.KnownEngineStartupError
    if (refused) return this.#known(refused.msg, refused.error_code)
    if (answer?.error_code) return this.#known(answer.message, answer.error_code, answer.meta)
    const code = { 401: 'P5007', 403: 'P5007', 404: 'P5003' }[status] ?? 'P5006'
    return this.#known(`octavo serve refused the request: ${typeof answer === 'string' ? answer : status}`, code)
  }

  async #send(method, path, text, mayRepeat) {
    this.#agent ??= new this.#place.Agent({ keepAlive: true, maxSockets: 64, timeout: IDLE })
    const body = Buffer.from(text)
    for (;;) {
      try {
        return await this.#exchange(method, path, body)
      } catch (error) {
        // The server may have closed an idle connection, or died while it wrote: a write is not repeated.
        if (error.wasReused && mayRepeat) continue
        throw this.#known(`Can't reach octavo serve at ${this.#place.label}: ${error.message}`, 'P1001')
      }
    }
  }

  #exchange(method, path, body) {
    return new Promise((resolve, reject) => {
      const headers = { ...this.#headers, 'content-length': body.length }
      const request = this.#place.request({ ...this.#place.options, agent: this.#agent, method, path, headers })
      let began = false
      const fail = (error) => {
        error.wasReused = request.reusedSocket && !began && (error.code === 'ECONNRESET' || error.code === 'EPIPE')
        reject(error)
      }
      request.on('error', fail)
      request.on('response', (response) => {
        began = true
        const pieces = []
        response.on('data', (piece) => pieces.push(piece))
        response.on('error', fail)
        response.on('end', () => {
          try {
            resolve({ status: response.statusCode, answer: JSON.parse(pieces.length === 1 ? pieces[0] : Buffer.concat(pieces)) })
          } catch (error) {
            fail(error)
          }
        })
      })
      request.end(body)
    })
  }
}

/** Whether a request changes nothing. */
const isReading = (body) => (body?.batch ? body.batch.every(isReading) : READING.test(body?.action ?? ''))

/** The client's own class of known errors, which it makes of any error that has a code. */
function knownErrorOf(original) {
  try {
    original._requestHandler.handleRequestError({ error: Object.assign(new Error(), { code: 'P0000' }), args: {}, clientMethod: '' })
  } catch (error) {
    return error.constructor
  }
}

/** The class of unknown errors that belongs to one of known errors. */
async function unknownErrorLike(Known, config) {
  if (config.accelerateUtils?.PrismaClientUnknownRequestError) return config.accelerateUtils.PrismaClientUnknownRequestError
  const runtimes = [() => import('@prisma/client/runtime/client'), () => createRequire(import.meta.url)('@prisma/client/runtime/client')]
  for (const load of runtimes) {
    const runtime = await Promise.resolve().then(load).catch(() => ({}))
    if (runtime.PrismaClientKnownRequestError === Known) return runtime.PrismaClientUnknownRequestError
  }
  return class PrismaClientUnknownRequestError extends Error {
    name = 'PrismaClientUnknownRequestError'

    constructor(message, more) {
      super(message)
      Object.assign(this, more)
    }
  }
}

/** A name for a schema, where the client has none (Prisma 7): FNV-1a, which need not be secret. */
function hashOf(text) {
  let hash = 0xcbf29ce484222325n
  for (const byte of Buffer.from(text)) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n)
  return hash.toString(16).padStart(16, '0')
}
