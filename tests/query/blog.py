"""A small schema with every kind of relation."""

from __future__ import annotations

from octavo.query.vocabulary import Vocabulary
from octavo.schema.parser import parse_schema

SCHEMA = """
datasource db {
  provider = "postgresql"
  url      = env("DATABASE_URL")
}

enum Role {
  USER
  ADMIN
  BOT
}

model User {
  id         Int       @id @default(autoincrement())
  email      String    @unique
  name       String?
  /// @secret token
  token      String?
  age        Int?
  score      Float?
  balance    Decimal?  @db.Decimal(10, 2)
  words      String[]
  meta       Json?
  role       Role      @default(USER)
  joined     DateTime  @default(now())
  changed    DateTime  @updatedAt
  profile    Profile?
  passport   Passport?
  posts      Post[]
  bossId     Int?
  boss       User?     @relation("boss", fields: [bossId], references: [id])
  reports    User[]    @relation("boss")
  follows    User[]    @relation("follows")
  followedBy User[]    @relation("follows")
}

model Profile {
  id     String @id @default(uuid())
  bio    String
  userId Int?   @unique
  user   User?  @relation(fields: [userId], references: [id], onDelete: SetNull)
}

model Passport {
  number  String @id
  ownerId Int    @unique
  owner   User   @relation(fields: [ownerId], references: [id], onDelete: Cascade)
}

model Post {
  id         String     @id @default(cuid())
  title      String
  views      Int        @default(0)
  likes      BigInt     @default(0)
  authorId   Int
  author     User       @relation(fields: [authorId], references: [id], onDelete: Cascade)
  categories Category[]
  comments   Comment[]
  changed    DateTime   @updatedAt

  @@unique([authorId, title])
}

model Category {
  id    Int    @id @default(autoincrement())
  name  String @unique
  posts Post[]
}

model Comment {
  postId String?
  post   Post?   @relation(fields: [postId], references: [id])
  number Int
  text   String
  lang   String

  @@id([number, lang])
}
"""

VOCABULARY = Vocabulary(parse_schema(SCHEMA))
