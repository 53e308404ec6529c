"""A query in the vocabulary of Prisma, checked once against the Datamodel and independent of who runs it.

:mod:`~octavo.query.vocabulary` says what can be asked of a model.  :mod:`~octavo.query.filters`,
:mod:`~octavo.query.reads`, :mod:`~octavo.query.writes` and :mod:`~octavo.query.aggregates` check what was
asked and give the plan's classes (:mod:`~octavo.query.plan`).  :mod:`~octavo.query.run` runs the plan on a
backend's few methods (:mod:`~octavo.query.protocols`).
"""
