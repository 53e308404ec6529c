// The SQL that Prisma Migrate writes for a schema: texts in, answers out, as JSON, a line each.
// Usage: node prisma_migrate.mjs FOLDER, that of the npm package @prisma/schema-engine-wasm.

import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { createInterface } from "node:readline";

const folder = resolve(process.argv[2]);
const bindings = await import(`${folder}/schema_engine_bg.js`);
const wasm = new WebAssembly.Module(readFileSync(`${folder}/schema_engine_bg.wasm`));
const instance = new WebAssembly.Instance(wasm, { "./schema_engine_bg.js": bindings });
globalThis.PRISMA_WASM_PANIC_REGISTRY = { set_message: () => {} };

// A panic is thrown in a callback of the engine's own, and leaves the engine unusable.
process.on("uncaughtException", () => {
  process.stdout.write("null\n", () => process.exit(1));
});

// The engine asks for a database, and of it only for the version.
const settled = (value) => ({ ok: true, value });
const session = {
  provider: "postgres",
  adapterName: "none",
  options: { usePhantomQuery: false },
  getConnectionInfo: () => settled({ schemaName: "public", supportsRelationJoins: false }),
  queryRaw: async () =>
    settled({
      columnNames: ["exists", "version", "numeric_version"],
      columnTypes: [5, 7, 0],
      rows: [[true, "PostgreSQL 17.0", 170000]],
    }),
  executeRaw: async () => settled(0),
  executeScript: async () => settled(undefined),
  dispose: async () => settled(undefined),
};
const adapter = {
  provider: "postgres",
  adapterName: "none",
  connect: async () => settled(session),
  connectToShadowDb: async () => settled(session),
};

async function ask(content) {
  const files = [{ path: "schema.prisma", content }];
  const options = { datamodels: [["schema.prisma", content]] };
  const engine = await bindings.SchemaEngine.new(options, () => {}, adapter);
  const { stdout } = await engine.diff({
    from: { tag: "empty" },
    to: { tag: "schemaDatamodel", files, configDir: "." },
    script: true,
    exitCode: null,
    shadowDatabaseUrl: null,
    filters: { externalTables: [], externalEnums: [] },
  });
  engine.free();
  return stdout;
}

bindings.__wbg_set_wasm(instance.exports);
instance.exports.__wbindgen_start();
for await (const line of createInterface({ input: process.stdin })) {
  let sql = null;
  try {
    sql = await ask(JSON.parse(line));
  } catch {
    // The engine refuses the schema.
  }
  process.stdout.write(JSON.stringify(sql) + "\n");
}
