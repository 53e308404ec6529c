"""Every row of every model is found in the files, and no other."""

from __future__ import annotations

import shutil
from pathlib import Path

from octavo.layout.listing import contents
from octavo.layout.load import frozen_layout
from octavo.layout.reader import Reader, live_records
from octavo.store.store import Store

LAYOUT = frozen_layout()


def test_there_are_as_many_rows_as_records_in_the_files(exported: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(exported, tmp_path / "data"))
    reader = Reader(LAYOUT, data)
    counts = {model.name: 0 for model in LAYOUT.datamodel.tables}
    for file in contents(LAYOUT, data).files:
        for record in live_records(reader, file):
            for place in (record.place, *(place for place, _ in record.embedded)):
                counts[place.model.name] += 1
    with Store.open(data, LAYOUT) as store:
        assert store.read(lambda view: {name: view.count(name) for name in counts}) == counts
