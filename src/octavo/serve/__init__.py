"""The server that Prisma Client takes for its engine.

An unchanged TypeScript application speaks to it by its ``DATABASE_URL``.  The path of a query:

- :mod:`octavo.serve.app`: HTTP, the token, the endpoints;
- :mod:`octavo.serve.view`: the client's schema, matched with the store's by tables and columns;
- :mod:`octavo.serve.arguments`: from Prisma's JSON to the arguments of a call of the client;
- :mod:`octavo.serve.calls`: which call that is; :mod:`octavo.serve.execution` runs it;
- :mod:`octavo.serve.results`: from records to Prisma's JSON;
- :mod:`octavo.serve.failures`: from errors to Prisma's.

It needs the extra ``octavo[serve]`` (uvicorn and Starlette).
"""
