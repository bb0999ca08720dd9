"""Write down which wheels pip installed: `prebake-wheels.json`, for the bill of materials.

    python3 wheels.py FOLDER REPORTS

pip tells in its reports (`--report`, "Installation report") which file it took of those that the lock allows. Name, version,
file name and sha256 are kept; where it came from is not, so that every mirror gives the same bytes.
"""

import json
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

FILE = "prebake-wheels.json"


def sha256(archive: dict) -> str:
    """pip before 23.1 has it as ``hash`` alone (the "Direct URL" specification)."""
    return archive.get("hashes", {}).get("sha256") or archive.get("hash", "").removeprefix("sha256=")


def wheels(reports: Path) -> dict[str, dict[str, str]]:
    """The wheels by package name."""
    found = {}
    for path in sorted(reports.glob("*.json")):
        for each in json.loads(path.read_bytes())["install"]:
            download = each["download_info"]
            found[each["metadata"]["name"]] = {
                "version": each["metadata"]["version"],
                "file": unquote(urlsplit(download["url"]).path.rpartition("/")[2]),
                "sha256": sha256(download["archive_info"]),
            }
    return found


def main(folder: str, reports: str) -> None:
    text = json.dumps(wheels(Path(reports)), indent=1, sort_keys=True) + "\n"
    (Path(folder) / FILE).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
