/** Where `octavo serve` listens, and the token that it prints. */
export type OctavoOptions = { token: string } & (
  | { /** the path given with --socket */ socket: string; url?: undefined }
  | { /** such as http://127.0.0.1:5460 */ url: string; socket?: undefined; /** the certificate to trust */ ca?: string | Uint8Array }
)

/** What Prisma Client is constructed with where it asks for a driver adapter. */
export function adapter(): any

/** A client extension that exchanges the client's engine for `octavo serve`. */
declare function octavo(options: OctavoOptions): <Client>(client: Client) => Client

declare namespace octavo {
  export { adapter }
}

export default octavo
