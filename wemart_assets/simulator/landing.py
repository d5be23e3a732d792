"""Landing files: `<landing>/<source>/date=YYYY-MM-DD/<file>`, as the platform's services deliver them."""

import gzip
import json
from collections import Counter
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from wemart_assets.simulator.business_days import UTC_DAY_MS, utc_day_name

SERVER_LOG = "service_log.weverse_server_log"
FEW_VALUES = [
    *("user_info_status", "user_info_locale", "user_info_country", "user_info_user_agent", "topic", "date_id", "hour"),
    "server_name",
]


class Landing:
    """The landing folder of one simulation, with the `files` written to it and their `rows` by source and date folder.

    Raises:
        FileExistsError: a source's folder is not empty, so the truth would not match its files.
    """

    def __init__(self, root: Path, sources: list[str]) -> None:
        self.root = root
        self.files: list[Path] = []
        self.rows: dict[str, Counter[str]] = {source: Counter() for source in sources}
        for source in sources:
            folder = root / source
            if folder.exists() and any(folder.iterdir()):
                raise FileExistsError(f"{folder} already contains files; simulate into an empty landing folder")

    def new_file(self, source: str, date: str, name: str) -> Path:
        path = self.root / source / f"date={date}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        self.files.append(path)
        return path

    def write(self, source: str, date: str, name: str, table: pa.Table) -> None:
        """Writes one file. Its name gives the format: `.parquet`, `.csv` or `.jsonl`, and `.gz` if compressed."""
        formats = {".parquet": _as_parquet, ".csv": _as_csv, ".jsonl": _as_jsonl}
        content = formats[Path(name.removesuffix(".gz")).suffix](table)
        if name.endswith(".gz"):
            content = gzip.compress(content, mtime=0)
        self.new_file(source, date, name).write_bytes(content)
        self.rows[source][date] += len(table)


class ServerLog:
    """The Parquet files of the server log, one per UTC day.

    A file stays open until its UTC day is over: unless business days begin at UTC midnight, it gets lines of two
    business days.
    """

    def __init__(self, landing: Landing) -> None:
        self.landing = landing
        self.open: dict[int, pq.ParquetWriter] = {}

    def write(self, day: int, table: pa.Table) -> None:
        """Appends lines to the file of a UTC day (days since the epoch)."""
        if day not in self.open:
            path = self.landing.new_file(SERVER_LOG, utc_day_name(day), "lines.parquet")
            # Without the Arrow schema, dictionary-encoded text is read back as plain text.
            self.open[day] = pq.ParquetWriter(
                path,
                table.schema,
                compression="zstd",
                compression_level=1,
                use_dictionary=FEW_VALUES,
                store_schema=False,
            )
        self.open[day].write_table(table)
        self.landing.rows[SERVER_LOG][utc_day_name(day)] += len(table)

    def close_before(self, instant_ms: int) -> None:
        """Closes the files of the UTC days that are over at this instant."""
        for day in [day for day in self.open if (day + 1) * UTC_DAY_MS <= instant_ms]:
            self.open.pop(day).close()

    def close(self) -> None:
        for day in list(self.open):
            self.open.pop(day).close()


def _as_parquet(table: pa.Table) -> bytes:
    buffer = BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def _as_csv(table: pa.Table) -> bytes:
    buffer = BytesIO()
    pyarrow.csv.write_csv(table, buffer)
    return buffer.getvalue()


def _as_jsonl(table: pa.Table) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in table.to_pylist()).encode()
