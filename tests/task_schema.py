"""A small schema, the next version of it, and a layout."""

SCHEMA = """// A note that stays.
datasource db {
  provider = "postgresql"
  url      = env("DATABASE_URL")
}
model Task {
  id    Int    @id
  label String
  steps Step[]
}
model Step {
  id     Int  @id
  task   Task @relation(fields: [taskId], references: [id])
  taskId Int
}
"""
NEXT = SCHEMA.replace("label String\n", "label String\n  estimate Int?\n")
PLACES = 'version = 1\n[logs]\n"all.jsonl" = ["Task", "Step"]\n'
