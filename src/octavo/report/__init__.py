"""The report: one self-contained HTML page that shows a data folder, its schema and its move.

:mod:`octavo.report.facts` gathers, :mod:`octavo.report.page` draws; nothing is asked for while drawing, so
the same facts give the same page.
"""
