import { PrismaClient } from '../generated/index.js'
import { createApi } from './api.js'

const server = createApi(new PrismaClient()).listen(Number(process.env.PORT ?? 3000), '127.0.0.1', () => {
  const address = server.address()
  console.log(`notes at http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`)
})
