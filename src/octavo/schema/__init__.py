"""What the data is: the Prisma schema language, the Datamodel, the frozen schema."""
