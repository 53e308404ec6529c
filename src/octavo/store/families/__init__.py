"""The files of a layout in memory: what stands in them, and how a change of records becomes one of files.

There is one class for each way to live (see :mod:`octavo.layout.layout`).  Three of them hold all their
records; logs per parent are read as they are asked for, and the least used go when they exceed a budget.

Each answers for its own freshness: :meth:`suspect` says that a file may have changed, and the next question
looks at the file's signature before it is answered.
"""
