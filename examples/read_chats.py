"""Print each chat's title, character and number of messages from a data folder: plain files, plain Python."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path


def lines(file: Path) -> list[dict[str, object]]:
    """The records of a log: of each key the last line counts, unless it says that the record is deleted."""
    last: dict[object, dict[str, object]] = {}
    with file.open(encoding="utf-8", newline="\n") as log:
        for line in log:
            record = json.loads(line)
            last[record["_model"], record["id"]] = record
    return [record for record in last.values() if not record.get("_deleted")]


def main(data: Path) -> None:
    """Print one line per chat."""
    for chat in lines(data / "chats" / "index.jsonl"):
        character = json.loads((data / "characters" / f"{chat['characterId']}.json").read_text("utf-8"))
        messages = lines(data / "chats" / f"{chat['id']}.jsonl")
        print(f"{chat['title']} — {character['name']}, {len(messages)} messages")


if __name__ == "__main__":
    # The program that reads the output may end first, as head does.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        main(Path(sys.argv[1] if len(sys.argv) > 1 else "data"))
    except OSError as error:
        sys.exit(f"{error.filename}: {error.strerror}")
